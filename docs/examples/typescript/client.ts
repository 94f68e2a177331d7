// A client of the ConfigBuild HTTP API. It needs fetch (Node 18 or later, or a browser), and
// nothing else. types.ts is generated from docs/openapi.json and docs/events.schema.json.

import type { Build, BuildCreateRequest, BuildEvent, BuildList, BuildLogs, Problem } from "./types.js";

export interface ClientOptions {
  /** The operator's address, for instance https://configbuild-operator.ade.svc:8443 */
  url: string;
  /** A bearer token, or what gives a fresh one; left out where nobody asks for one. */
  token?: string | (() => string | Promise<string>);
}

export interface FollowOptions {
  /** Where to begin: only what comes after this event. */
  afterId?: number;
  /** Ends it; `follow` then throws the signal's reason. */
  signal?: AbortSignal;
  /** Silence after which a connection is dead; a heartbeat comes every 15 s. */
  silenceMs?: number;
  /** Pause before the next try. */
  retryMs?: number;
}

// region: errors
/** The operator refused; `problem` says why (RFC 9457). */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.status} ${problem.reason}: ${problem.detail}`);
    this.name = "ProblemError";
  }
}
// endregion

export class Client {
  constructor(private readonly options: ClientOptions) {}

  /** Sees to it that a config has its build; with `wait`, answers at its end or after some time. */
  ask(workspace: string, config: string, options: BuildCreateRequest["options"] = {}): Promise<Build> {
    return this.json("POST", buildsOf(workspace, config), { options });
  }

  /** The builds of a config, newest first. */
  async list(workspace: string, config: string): Promise<Build[]> {
    const list: BuildList = await this.json("GET", buildsOf(workspace, config));
    return list.builds;
  }

  get(buildId: string): Promise<Build> {
    return this.json("GET", `/builds/${buildId}`);
  }

  /** A page of output; go on with `next_after_id` until it is null. */
  logs(buildId: string, afterId = 0, limit = 1000): Promise<BuildLogs> {
    return this.json("GET", `/builds/${buildId}/logs?after_id=${afterId}&limit=${limit}`);
  }

  cancel(buildId: string): Promise<Build> {
    return this.json("POST", `/builds/${buildId}/cancel`);
  }

  // region: follow
  /**
   * Gives every event above `afterId` once, to the end of the build, over as many connections as
   * it takes. Throws a ProblemError if the operator refuses, and the reason of an aborted signal.
   */
  async *follow(buildId: string, options: FollowOptions = {}): AsyncGenerator<BuildEvent, void> {
    const { afterId = 0, signal, silenceMs = 45_000, retryMs = 1_000 } = options;
    let cursor = afterId;
    for (;;) {
      try {
        const path = `/builds/${buildId}/events?follow=true&after_id=${cursor}`;
        for await (const line of this.lines(path, silenceMs, signal)) {
          if (line === "") continue; // a heartbeat
          const event = JSON.parse(line) as BuildEvent;
          cursor = event.id;
          yield event;
          if (event.type === "build.completed") return;
        }
        // Ended without build.completed: cut, for instance by a restart of the operator.
      } catch (error) {
        signal?.throwIfAborted();
        // 5xx passes: the operator, or a proxy whose operator is about to be back.
        if (error instanceof ProblemError && error.problem.status < 500) throw error;
        if (error instanceof SyntaxError) throw error; // no event: something else answered
      }
      await pause(retryMs, signal);
    }
  }

  /** Gives lines that have their end; what a cut left of one comes again. */
  private async *lines(
    path: string,
    silenceMs: number,
    signal?: AbortSignal,
  ): AsyncGenerator<string> {
    const connection = new AbortController();
    const abort = () => connection.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    let silence = setTimeout(abort, silenceMs);
    try {
      signal?.throwIfAborted();
      const answer = await this.fetch("GET", path, undefined, connection.signal);
      const reader = answer.body!.getReader();
      const decoder = new TextDecoder();
      let pending = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(abort, silenceMs);
        const lines = (pending + decoder.decode(value, { stream: true })).split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) yield line;
      }
    } finally {
      clearTimeout(silence);
      signal?.removeEventListener("abort", abort);
      connection.abort(); // also where whoever reads has had enough
    }
  }
  // endregion

  private async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.fetch(method, path, body)).json() as Promise<T>;
  }

  private async fetch(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<Response> {
    const { url, token } = this.options;
    const headers = new Headers();
    if (token) {
      headers.set("Authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    }
    if (body !== undefined) headers.set("Content-Type", "application/json");
    const answer = await fetch(`${url}/api/v1${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
    if (!answer.ok) throw new ProblemError(await problemOf(answer));
    return answer;
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  if (answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return (await answer.json()) as Problem;
  }
  const { status, statusText, url } = answer; // of a proxy on the way
  return {
    type: "about:blank",
    title: statusText,
    status,
    detail: statusText,
    instance: url,
    reason: "NotTheOperator",
  };
}

function buildsOf(workspace: string, config: string): string {
  return `/workspaces/${workspace}/configs/${config}/builds`;
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
