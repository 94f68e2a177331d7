"""What GitOps tools make of ConfigBuilds, by the very code that those tools run."""
