// Generated from docs/openapi.json and docs/events.schema.json by `make generate`. Do not edit.

/** One build as it stands. */
export interface Build {
  /** build_ and a ULID. */
  id: string;
  object: "ade.build";
  /** The namespace. */
  workspace_id: string;
  /** The name of the ConfigBuild. */
  config_id: string;
  /** The same as config_id, for older clients. */
  configuration_id: string;
  /** Always null. */
  configuration_build_id: null;
  /** Always null. */
  build_ref: null;
  status: BuildStatus;
  /** Unix time in whole seconds. */
  created: number;
  /** When the first step began. */
  started: number | null;
  finished: number | null;
  /** Of the command that ended the build; 0 if all did. */
  exit_code: number | null;
  /** How the build ended, in a few words. */
  summary: string | null;
  /** What went wrong, for people. */
  error_message: string | null;
  /** Why it ended as it did: one CamelCase word. */
  reason: string | null;
  /** What might help. */
  hint: string | null;
  /** Why the build was started. */
  trigger: Trigger;
  /** Inputs that differ from those of the build before. */
  changed: string[];
  /** Hash of the declared inputs. */
  fingerprint: string | null;
  /** 1 is next; null if it does not wait. */
  queue_position: number | null;
  /** Steps that have begun, in their order. */
  steps: BuildStepStatus[];
}

/** The build ended; no event follows. */
export interface BuildCompleted {
  object: "ade.build.event";
  /** 1, 2, 3 … in the build: the cursor. */
  id: number;
  build_id: string;
  /** Unix seconds. */
  created: number;
  /** RFC 3339, microseconds. */
  time: string;
  type: "build.completed";
  status: BuildStatus;
  exit_code: number | null;
  summary: string | null;
  error_message: string | null;
  reason: string | null;
  hint: string | null;
}

/** Asks that a config have the build that it declares. */
export interface BuildCreateRequest {
  /** Answer with the build's events as NDJSON, to its end. */
  stream?: boolean;
  options?: BuildOptions;
}

/**
 * The build exists; nothing has run yet. `config_uid` tells a deleted and recreated config
 * apart; empty where nobody knew it.
 */
export interface BuildCreated {
  object: "ade.build.event";
  /** 1, 2, 3 … in the build: the cursor. */
  id: number;
  build_id: string;
  /** Unix seconds. */
  created: number;
  /** RFC 3339, microseconds. */
  time: string;
  type: "build.created";
  status: BuildStatus;
  config_id: string;
  workspace_id: string;
  trigger: Trigger;
  config_uid: string;
}

/** One line of a build's NDJSON stream. */
export type BuildEvent = BuildCreated | BuildStep | BuildLog | BuildGap | BuildCompleted;

/** Log lines were left out, since a log has a limit: those from `first_id` to this id. */
export interface BuildGap {
  object: "ade.build.event";
  /** 1, 2, 3 … in the build: the cursor. */
  id: number;
  build_id: string;
  /** Unix seconds. */
  created: number;
  /** RFC 3339, microseconds. */
  time: string;
  type: "build.gap";
  first_id: number;
  lines: number;
}

/** The builds of a config. */
export interface BuildList {
  object: "ade.build.list";
  /** Newest first. */
  builds: Build[];
}

/** One line of output; `continued` marks a piece after which the same line goes on. */
export interface BuildLog {
  object: "ade.build.event";
  /** 1, 2, 3 … in the build: the cursor. */
  id: number;
  build_id: string;
  /** Unix seconds. */
  created: number;
  /** RFC 3339, microseconds. */
  time: string;
  type: "build.log";
  step: Step;
  stream: Stream;
  message: string;
  continued?: boolean;
}

/** A line of output. */
export interface BuildLogEntry {
  /** The id of its event; ids of other events lie between. */
  id: number;
  /** Unix time in whole seconds. */
  created: number;
  stream: Stream;
  message: string;
}

/** A page of a build's output. */
export interface BuildLogs {
  object: "ade.build.logs";
  build_id: string;
  /** Oldest first. */
  entries: BuildLogEntry[];
  /** The after_id of the next page; null once the build has ended and all is read. */
  next_after_id: number | null;
}

/** How a build is asked for. */
export interface BuildOptions {
  /** Build anew in any case; a build that runs is superseded. */
  force?: boolean;
  /**
   * Join a build that runs, and answer when it has ended, after ADE_BUILD_ENSURE_WAIT_SECONDS
   * at the latest. Without effect on a stream.
   */
  wait?: boolean;
}

/** How a build stands, in the words of the HTTP API. */
export type BuildStatus = "queued" | "building" | "active" | "failed" | "canceled";

/** A step began (`running`) or ended; only then are duration and exit code known. */
export interface BuildStep {
  object: "ade.build.event";
  /** 1, 2, 3 … in the build: the cursor. */
  id: number;
  build_id: string;
  /** Unix seconds. */
  created: number;
  /** RFC 3339, microseconds. */
  time: string;
  type: "build.step";
  step: Step;
  status: StepStatus;
  message: string;
  duration_ms: number | null;
  exit_code: number | null;
}

/** How a step of a build stands. */
export interface BuildStepStatus {
  name: Step;
  status: StepStatus;
  message: string;
  /** Unix time in whole seconds. */
  started: number;
  finished: number | null;
  exit_code: number | null;
}

/** All is well. */
export interface Health {
  status: "ok";
}

/** A part of a request that is wrong. */
export interface InvalidPart {
  /** path, query or body. */
  location: string;
  /** Its name; dots lead into objects. */
  field: string;
  message: string;
}

/** Says what is wrong (RFC 9457). */
export interface Problem {
  /** Names the kind of problem. */
  type: string;
  /** The kind of problem, for people. */
  title: string;
  /** The HTTP status. */
  status: number;
  /** What was wrong, where, and what to do next. */
  detail: string;
  /** The path that was asked for. */
  instance: string;
  /** One CamelCase word, the same as in conditions and events. */
  reason: string;
  /** The build that is in the way. */
  build_id?: string | null;
  /** The field of the spec that is wrong. */
  field?: string | null;
  /** What is invalid. */
  errors?: InvalidPart[] | null;
  /** What is not ready. */
  missing?: string[] | null;
}

/** Builds can be made. */
export interface Readiness {
  status: "ok";
  /** What is not as it should be all the same, such as a sandbox that is off. */
  warnings: string[];
}

/** The steps of a build, in their order; the first only where the config's source is remote. */
export type Step = "fetch_config" | "create_venv" | "upgrade_pip" | "install_engine" | "install_config" | "verify_imports" | "collect_metadata";

/** How a step stands. */
export type StepStatus = "running" | "succeeded" | "failed" | "skipped";

/** Where a line of output came from. */
export type Stream = "stdout" | "stderr";

/** Why a build was started. */
export type Trigger = "Initial" | "SpecChanged" | "SourceChanged" | "Expired" | "Forced" | "Requested" | "Interrupted" | "Missing" | "Retry";
