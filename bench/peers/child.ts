/**
 * The process that holds one peer: does the job given as its argument, sends the outcome to its parent and ends. Each
 * job has a process of its own, so that thread pools, heaps and crashes of different runtimes do not affect each other.
 */
import { writeFile } from "node:fs/promises";
import { openNodeLlamaCpp } from "./runtimes/node-llama-cpp.js";
import { openOnnxruntimeNode } from "./runtimes/onnxruntime-node.js";
import { openOnnxruntimeWeb } from "./runtimes/onnxruntime-web.js";
import { openOurs, openOurTraining } from "./runtimes/ours.js";
import { type Job, type Outcome, PeerAbsentError, type PeerSession } from "./peer.js";
import { textOf } from "./shape.js";

function open(job: Job): Promise<PeerSession> {
  switch (job.peer) {
    case "reference":
      return openOurs({ ...job, device: "reference" });
    case "ours":
      return openOurs(job);
    case "onnxruntime-node":
      return openOnnxruntimeNode(job);
    case "onnxruntime-web":
      return openOnnxruntimeWeb(job);
    case "node-llama-cpp":
      return openNodeLlamaCpp(job);
    case "torch":
      throw new Error("child: torch is a Python process; see torch.ts");
    default:
      throw job.peer satisfies never;
  }
}

/** Writes the logits after the prompt and after each given token: 1 + checkTokens rows [V], to the file `output`. */
async function writeLogits(job: Job): Promise<Outcome> {
  const session = await open(job);
  const { prompt, following } = textOf(job.protocol);
  const rows = [(await session.logits(prompt)).slice()];
  for (const id of following) rows.push((await session.logits([id])).slice());
  await writeFile(
    job.output,
    Buffer.concat(rows.map((row) => new Uint8Array(row.buffer, row.byteOffset, row.byteLength))),
  );
  return { status: "measured", info: session.info };
}

/** Passes of prefill, then greedy decoding; the first `warmups` are not reported. */
async function timeDecoding(job: Job): Promise<Outcome> {
  const session = await open(job);
  const { warmups, passes, decodeTokens } = job.protocol;
  const { prompt } = textOf(job.protocol);
  const prefill: number[] = [];
  const decode: number[] = [];
  for (let pass = 0; pass < warmups + passes; pass++) {
    await session.reset();
    const started = performance.now();
    let next = await session.advance(prompt);
    const prefilled = performance.now();
    for (let i = 0; i < decodeTokens; i++) next = await session.advance([next]);
    const ended = performance.now();
    if (pass < warmups) continue;
    prefill.push(prefilled - started);
    decode.push(ended - prefilled);
  }
  return { status: "measured", info: session.info, prefill, decode };
}

/** Training steps; the first `warmups` are not timed, but their losses are reported. */
async function timeTraining(job: Job): Promise<Outcome> {
  const { info, step } = await openOurTraining(job);
  const losses: number[] = [];
  const times: number[] = [];
  for (let i = 0; i < job.protocol.warmups + job.protocol.steps; i++) {
    const started = performance.now();
    losses.push(await step());
    times.push(performance.now() - started);
  }
  return { status: "measured", info, step: times.slice(job.protocol.warmups), losses };
}

function perform(job: Job): Promise<Outcome> {
  switch (job.kind) {
    case "logits":
      return writeLogits(job);
    case "decode":
      return timeDecoding(job);
    case "train":
      return timeTraining(job);
    default:
      throw job.kind satisfies never;
  }
}

const job = JSON.parse(process.argv[2]!) as Job;
const outcome = await perform(job).catch((error: unknown): Outcome => ({
  status: error instanceof PeerAbsentError ? "absent" : "failed",
  reason: error instanceof Error ? error.message : String(error),
}));
// Exits at once: idle worker threads of a peer would keep the process alive.
process.send!(outcome, () => process.exit(0));
