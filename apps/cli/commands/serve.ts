/**
 * `early-exits serve`: a model behind OpenAI's HTTP API (apps/serve). Address on stdout, a line per request on stderr.
 * Ctrl-C or SIGTERM ends it once the answers under way are written; the key is in the environment.
 */
import { once } from "node:events";
import { basename, resolve } from "node:path";
import type { Model } from "early-exits";
import { loadServer } from "../../serve/load-server.js";
import { serveDefaults, serveModel, type ServeOptions } from "../../serve/serve-model.js";
import { batcherDefaults } from "../../serve/batcher-options.js";
import { auditOption, type AuditSettings, noAuditOption } from "../audit.js";
import { type CommandDefinition, given, type OptionDefinition, type SettingsOf } from "../command.js";
import { type Decoding, exitOptions, openDecoding } from "../decoding.js";
import { type Io, note, refuseIf } from "../io.js";
import { nextLines, shellWord } from "../next-lines.js";
import { modelDefaults } from "../open-model.js";
import { integer, modelFolder, modelOptions, samplingOf, samplingOptions } from "../options.js";

/** One answer in so many. */
const AUDITED = 20;
const KEY = "EARLY_EXITS_API_KEY";

const [temperature, ...truncation] = samplingOptions;

const options = [
  ...exitOptions,
  { ...temperature, description: "with --shipped: serve the certificate for text at this temperature; 0 is greedy" },
  ...truncation,
  { ...auditOption, defaultNote: `${AUDITED} with a certificate` },
  noAuditOption,
  {
    flags: "--otherwise <mode>",
    description: "how to answer requests whose sampling settings the policy is not certified for",
    choices: ["plain", "lossless"],
  },
  { flags: "--host <address>", description: `address to listen on; off loopback, ${KEY} must hold a key` },
  { flags: "--port <n>", description: "port to listen on; 0 takes a free one", parse: integer(0) },
  { flags: "--hosts <name...>", description: "further host names that requests may be for" },
  { flags: "--parallel <n>", description: "texts that are written together, at most", parse: integer(1) },
  { flags: "--queue-limit <n>", description: "largest number of texts that wait; more get 429", parse: integer(0) },
  { flags: "--cache-bytes <n>", description: "largest size of all KV caches together, in bytes", parse: integer(1) },
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type ServeSettings = AuditSettings & SettingsOf<typeof options, "dir">;

export const serveCommand: CommandDefinition<ServeSettings> = {
  name: "serve",
  description: "Serve a model by OpenAI's HTTP API; the address on stdout, a line for every request on stderr",
  positional: [modelFolder],
  options,
  defaults: {
    ...modelDefaults,
    otherwise: serveDefaults.otherwise,
    host: serveDefaults.host,
    port: serveDefaults.port,
    parallel: batcherDefaults.parallel,
    queueLimit: batcherDefaults.queueLimit,
    cacheBytes: batcherDefaults.cacheBytes,
  },
  examples: [
    "serve my-model",
    "serve SmolLM2-135M-Instruct.Q4_1.gguf --shipped .9",
    "serve my-model --heads heads --policy policy.json --otherwise lossless --audit 10",
  ],
  run,
};

async function run(settings: ServeSettings, io: Io): Promise<void> {
  const { dir, json = false } = settings;
  refuseIf(
    settings.shipped === undefined && Object.keys(samplingOf(settings)).length > 0,
    "serve: --temperature, --top-k and --top-p find a certificate of --shipped; without it, each request names its own",
  );
  await loadServer(); // a package that is missing is said before the model is read
  const decoding = await openDecoding(io, "serve", settings, { auditEvery: AUDITED });
  try {
    const modelName = basename(resolve(dir));
    const server = await serveModel(decoding.source, {
      ...optionsOf(settings, decoding),
      modelName,
      log: (line) => {
        note(io, line);
      },
    });
    const { url } = server;
    io.stdout.write(json ? `${JSON.stringify({ url, model: modelName })}\n` : `${modelName} at ${url}/v1\n`);
    if (!json) note(io, ...nextLines(requestTo(url, modelName, decoding.model)));
    await ended(io);
    note(io, "closing; answers under way are finished");
    await server.close();
    await decoding.kept();
  } finally {
    decoding.dispose();
  }
}

function requestTo(url: string, model: string, { tokenizer }: Model): string {
  const [path, asked] =
    tokenizer.chatTemplate === undefined
      ? ["completions", { prompt: "The sky is" }]
      : ["chat/completions", { messages: [{ role: "user", content: "Why is the sky blue?" }] }];
  const key = process.env[KEY] ? ` -H "Authorization: Bearer $${KEY}"` : "";
  const body = shellWord(JSON.stringify({ model, ...asked }));
  return `curl ${url}/v1/${path} -H "Content-Type: application/json"${key} -d ${body}`;
}

/** Given settings only; the library has the defaults. */
function optionsOf(settings: ServeSettings, { policy, options, audit, source }: Decoding): ServeOptions {
  const { host, port, hosts, parallel, queueLimit, cacheBytes, allowUncertified } = settings;
  const { lossless = false } = options;
  const key = process.env[KEY];
  return given({
    ...{ host, port, hosts, parallel, queueLimit, cacheBytes, allowUncertified },
    key: key === "" ? undefined : key,
    otherwise: lossless === false ? settings.otherwise : "lossless",
    policy: lossless === false ? policy : undefined,
    drafting: policy === undefined || ("ahead" in source && source.ahead !== undefined) ? "ahead" : policy,
    audit,
  });
}

async function ended({ signal }: Io): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}
