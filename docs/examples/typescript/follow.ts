// Prints the events of a build, from the first to the last: node follow.js BUILD_ID

import { Client } from "./client.js";

declare const process: { env: Record<string, string | undefined>; argv: string[] };
const { URL: url = "https://localhost:8443", TOKEN: token } = process.env;
const client = new Client({ url, ...(token ? { token } : {}) });

// region: follow
for await (const event of client.follow(process.argv[2] ?? "")) {
  console.log(JSON.stringify(event));
}
// endregion
