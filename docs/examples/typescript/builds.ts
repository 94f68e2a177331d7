// Asks for a build and looks at it. URL, and TOKEN where one is needed, are set outside.

// region: set-up
import { Client } from "./client.js";
import type { BuildLogs } from "./types.js";

declare const process: { env: Record<string, string | undefined> };
const { URL: url = "https://localhost:8443", TOKEN: token } = process.env;
const client = new Client({ url, ...(token ? { token } : {}) });
// endregion

// region: ask
const asked = await client.ask("team-a", "invoices");
console.log(asked.id, asked.status);
// endregion

// region: wait
const build = await client.ask("team-a", "invoices", { wait: true });
console.log(build.id, build.status, build.summary);
// endregion

// region: stream
for await (const event of client.follow(build.id)) {
  console.log(event.id, event.type);
}
// endregion

// region: force
const forced = await client.ask("team-a", "invoices", { force: true, wait: true });
console.log(forced.id, forced.trigger);
// endregion

// region: list
for (const each of await client.list("team-a", "invoices")) {
  console.log(each.id, each.status, each.summary);
}
// endregion

// region: get
for (const step of (await client.get(build.id)).steps) {
  console.log(step.name, step.status, step.exit_code);
}
// endregion

// region: logs
for (let afterId: number | null = 0; afterId !== null; ) {
  const page: BuildLogs = await client.logs(build.id, afterId);
  for (const entry of page.entries) console.log(entry.stream, entry.message);
  afterId = page.next_after_id;
}
// endregion

// region: cancel
console.log((await client.cancel(build.id)).status);
// endregion

