/** A process that downloads: `download-child.ts ENDPOINT CACHE NAME`; prints every event, then the path. */
import { resolveModel } from "../../../src/node/index.js";

const [, , endpoint, cache, name] = process.argv;
const { path } = await resolveModel(name!, {
  endpoint: endpoint!,
  cache: cache!,
  token: "",
  onProgress: ({ file, received }) => process.stdout.write(`received ${file} ${received}\n`),
});
process.stdout.write(`path ${path}\n`);
