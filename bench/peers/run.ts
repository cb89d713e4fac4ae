/**
 * The same model on other runtimes and on ours, in one run: `npm run peers` in this folder, after `npm ci`; see
 * README.md. Writes peers.json and peers.md; the tables also go to stdout, progress to stderr. The exit status is 1 if
 * a peer failed or disagrees; an absent peer is listed and is not a failure.
 */
import { writeFileAtomic } from "early-exits/node";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { machine } from "../../lab/report/index.js";
import { compareDecoding, compareTraining } from "./compare.js";
import { decodeConfigurations, trainConfigurations } from "./configurations.js";
import { type PeerName, peerNames } from "./peer.js";
import { prepare } from "./formats/prepare.js";
import { markdownOf, type PeersReport } from "./report.js";
import { defaultProtocol, type Protocol, shape, training } from "./shape.js";
import { installedVersions } from "./versions.js";

const usage = `usage: npm run peers -- [options]
  --out DIR        where peers.json and peers.md go       (reports)
  --work DIR       where the model files go               (work)
  --peers LIST     of ${peerNames.join(",")}
  --threads LIST   (1,2)
  --device NAME    the device behind "ours"               (wasm)
  --check          compare logits and losses, time nothing
  --rounds N --passes N --warmups N --steps N --prompt N --decode N --seed N
`;

const { values } = parseArgs({
  options: {
    out: { type: "string", default: join(import.meta.dirname, "reports") },
    work: { type: "string", default: join(import.meta.dirname, "work") },
    peers: { type: "string", default: peerNames.join(",") },
    threads: { type: "string", default: "1,2" },
    device: { type: "string", default: "wasm" },
    check: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    rounds: { type: "string" },
    passes: { type: "string" },
    warmups: { type: "string" },
    steps: { type: "string" },
    prompt: { type: "string" },
    decode: { type: "string" },
    seed: { type: "string" },
  },
});

if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}

const integer = (name: string, text: string | undefined, otherwise: number): number => {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) {
    throw new Error(`--${name}: expected an integer, found "${text}"\n${usage}`);
  }
  return value;
};
const protocol: Protocol = {
  ...defaultProtocol,
  seed: integer("seed", values.seed, defaultProtocol.seed),
  promptTokens: integer("prompt", values.prompt, defaultProtocol.promptTokens),
  decodeTokens: integer("decode", values.decode, defaultProtocol.decodeTokens),
  rounds: integer("rounds", values.rounds, defaultProtocol.rounds),
  passes: integer("passes", values.passes, defaultProtocol.passes),
  warmups: integer("warmups", values.warmups, defaultProtocol.warmups),
  steps: integer("steps", values.steps, defaultProtocol.steps),
};
if (
  protocol.promptTokens < 1 ||
  protocol.promptTokens + Math.max(protocol.decodeTokens, protocol.checkTokens) > shape.contextSize
) {
  throw new Error(
    `--prompt ${protocol.promptTokens} --decode ${protocol.decodeTokens}: expected at least one prompt token, and ` +
      `at most ${shape.contextSize} tokens in total`,
  );
}
const peers = values.peers.split(",").map((name): PeerName => {
  const found = peerNames.find((peer) => peer === name);
  if (found === undefined) throw new Error(`--peers: no peer "${name}"\n${usage}`);
  return found;
});
const threads = values.threads.split(",").map((count) => integer("threads", count, 1));

const say = (message: string): void => void process.stderr.write(`${message}\n`);
const where = machine();
const folder = resolve(values.work);
say(`writing the model to ${folder}`);
await prepare(folder, protocol.seed);
const setting = { folder, device: values.device, protocol, checkOnly: values.check, onProgress: say };
const decoding = await compareDecoding(decodeConfigurations(peers, threads), setting);
const headTraining = await compareTraining(trainConfigurations(peers), setting);
const report: PeersReport = {
  format: "early-exits/peers",
  version: 1,
  machine: where,
  versions: await installedVersions(),
  shape,
  training,
  protocol,
  device: values.device,
  decoding,
  headTraining,
  notAsked: peerNames.filter((name) => !peers.includes(name)),
};
await writeFileAtomic(join(values.out, "peers.json"), `${JSON.stringify(report, null, 1)}\n`);
await writeFileAtomic(join(values.out, "peers.md"), markdownOf(report));
process.stdout.write(markdownOf(report));
if ([...decoding, ...headTraining].some(({ status }) => status === "failed" || status === "disagrees")) {
  process.exitCode = 1;
}
