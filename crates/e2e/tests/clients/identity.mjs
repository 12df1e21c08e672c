// Google's auth library for Node inside a task, as it finds its surroundings. Prints what it got, as JSON on one line.
import { createRequire } from "node:module";
const [, , modules, audience] = process.argv;
const require = createRequire(modules + "/");
const { GoogleAuth } = require("google-auth-library");
const metadata = require("gcp-metadata");

if (!(await metadata.isAvailable())) throw new Error("the metadata server is not found");
const auth = new GoogleAuth({ scopes: ["https://www.googleapis.com/auth/devstorage.read_only"] });
const client = await auth.getClient();
const { token } = await client.getAccessToken();
const { email } = await metadata.instance("service-accounts/default/?recursive=true");
const headers = await (await auth.getIdTokenClient(audience)).getRequestHeaders();
const identity = (headers.get?.("authorization") ?? headers.Authorization).replace(/^Bearer /, "");
console.log(JSON.stringify({
  project: await auth.getProjectId(), region: await metadata.instance("region"), email, token, identity,
}));
