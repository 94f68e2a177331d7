// Nothing here is compiled: the modules hold CustomResourceDefinitions, which tests want as they are.
module configbuild.ade.dev/tests/cluster/upstream

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
