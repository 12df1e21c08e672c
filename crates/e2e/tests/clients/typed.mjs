// Google's typed Node client against a local server.
import { createRequire } from "node:module";
const [, , modules, rootUrl, project] = process.argv;
const { google } = createRequire(modules + "/")("googleapis");
const run = google.run({ version: "v1", rootUrl: rootUrl + "/" });
const parent = `namespaces/${project}`;
const { jobs, executions, tasks } = run.namespaces;

const requestBody = {
  apiVersion: "run.googleapis.com/v1", kind: "Job", metadata: { name: "from-node" },
  spec: { template: { spec: { taskCount: 2, template: { spec: {
    maxRetries: 0, containers: [{ image: "builtin.groundrun/job", args: ["exit", "0"] }] } } } } },
};
const until = async (what, look) => {
  for (const begun = Date.now(); Date.now() - begun < 60000;) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error("not seen: " + what);
};
const is = (object, type, status) => object.status?.conditions?.some((c) => c.type === type && c.status === status);
const check = (holds, what) => { if (!holds) throw new Error(what); };

await jobs.create({ parent, requestBody });
const name = `${parent}/jobs/from-node`;
await until("Ready", async () => is((await jobs.get({ name })).data, "Ready", "True"));
const execution = (await jobs.run({ name, requestBody: {} })).data;
const path = `${parent}/executions/${execution.metadata.name}`;
const done = await until("Completed", async () => {
  const { data } = await executions.get({ name: path });
  return is(data, "Completed", "True") && data;
});
check(done.status.succeededCount === 2, "two tasks succeeded");
const listed = (await tasks.list({ parent, labelSelector: `run.googleapis.com/execution=${execution.metadata.name}` })).data;
check(listed.items.length === 2, "two tasks are listed");
const all = (await executions.list({ parent, limit: 10 })).data;
check(all.kind === "ExecutionsList" && all.items.length === 1, "one execution is listed");
const missing = await jobs.get({ name: `${parent}/jobs/nobody` }).then(() => null, (e) => e);
check(missing.status === 404 && missing.message.includes("kind 'JOB'"), "a missing job is told");
await jobs.delete({ name });
console.log("ok");
