/**
 * Runs the same prompts through this library and through an export in onnxruntime-node, and compares token by token:
 * the ids, the exits, and, where keys and values are exact, all logits that the graphs returned with
 * those of a full pass over the finished text.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type ExitHeads, generate, type Model, type Policy } from "../../src/index.js";
import { isExactFill } from "../../src/exits/index.js";
import { scope } from "../../src/tensor/index.js";

/** A tensor of onnxruntime. */
interface OrtTensor {
  readonly data: Float32Array | BigInt64Array;
  readonly dims: readonly number[];
}

/** The part of onnxruntime's InferenceSession that a driver uses. */
interface OrtSession {
  readonly inputNames: readonly string[];
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

interface ExportedToken {
  readonly id: number;
  readonly depth: number;
  readonly exit?: number;
  readonly score?: number;
}

/** `ExitDecoder` of drivers/exit-loop.mjs. */
export interface ExportDecoder {
  readonly sessions: Record<string, OrtSession>;
  generate(
    prompt: readonly number[],
    options?: { readonly maxNewTokens?: number; readonly exits?: boolean; readonly stopAtEndOfText?: boolean },
  ): AsyncGenerator<ExportedToken, void, void>;
  close(): Promise<void>;
}

/** Opens the export in a folder by the driver that lies in it, which finds onnxruntime-node from there. */
export async function openExported(
  folder: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<ExportDecoder> {
  const driver = (await import(pathToFileURL(join(folder, "onnxruntime-node.mjs")).href)) as {
    readonly openExport: (folder: string, options: Readonly<Record<string, unknown>>) => Promise<ExportDecoder>;
  };
  return driver.openExport(folder, options);
}

/** Findings of a comparison. */
interface Comparison {
  /** Tokens that both chose, up to the first difference of each text. */
  tokens: number;
  /** Tokens among them that left at an exit. */
  left: number;
  /** The largest difference between two logits; 0 if none were compared. */
  logitsError: number;
  /** Rows of logits that were compared. */
  rows: number;
  /** First position at which a text differs, in the token or the exit. */
  readonly differences: Difference[];
}

interface Difference {
  readonly prompt: readonly number[];
  /** Index of the new token. */
  readonly at: number;
  readonly ours: ExportedToken | undefined;
  readonly exported: ExportedToken | undefined;
}

interface CompareOptions {
  /** Absent if the export has no exits. */
  readonly policy?: Policy | undefined;
  readonly maxNewTokens?: number;
}

/** Compares the texts that follow the prompts. */
export async function compareExport(
  source: Model | ExitHeads,
  decoder: ExportDecoder,
  prompts: readonly (readonly number[])[],
  { policy, maxNewTokens = 24 }: CompareOptions = {},
): Promise<Comparison> {
  const exact = policy === undefined || isExactFill(policy.fill);
  const found: Comparison = { tokens: 0, left: 0, logitsError: 0, rows: 0, differences: [] };
  for (const prompt of prompts) {
    const ours = await textOfOurs(source, prompt, maxNewTokens, policy);
    const { tokens: exported, logits } = await textOfExport(decoder, prompt, maxNewTokens);
    const at = ours.findIndex(({ id, exit }, i) => id !== exported[i]?.id || exit !== exported[i].exit);
    const same = at < 0 ? ours.length : at;
    found.tokens += same;
    found.left += ours.slice(0, same).filter(({ exit }) => exit !== undefined).length;
    if (at >= 0 || exported.length !== ours.length) {
      found.differences.push({ prompt, at: same, ours: ours[same], exported: exported[same] });
    }
    if (!exact) continue;
    const ids = [...prompt, ...ours.slice(0, same).map(({ id }) => id)].slice(0, -1);
    const expected = await logitsOf(source, ids, policy);
    for (const { graph, position, row } of logits) {
      if (position >= ids.length) continue;
      const rows = expected.get(graph)!;
      found.rows++;
      for (let i = 0; i < row.length; i++) {
        found.logitsError = Math.max(found.logitsError, Math.abs(row[i]! - rows[position * row.length + i]!));
      }
    }
  }
  return found;
}

async function textOfOurs(
  source: Model | ExitHeads,
  prompt: readonly number[],
  maxNewTokens: number,
  policy: Policy | undefined,
): Promise<ExportedToken[]> {
  const tokens: ExportedToken[] = [];
  const options = { maxNewTokens, stopAtEndOfText: false, ...(policy && { policy }) };
  for await (const { id, depth, exit, score } of generate(source, prompt, options)) {
    tokens.push({ id, depth, ...(exit !== undefined && { exit, score: score! }) });
  }
  return tokens;
}

/** A row of logits that a graph returned for the newest position. */
interface SeenLogits {
  readonly graph: string;
  readonly position: number;
  readonly row: Float32Array;
}

async function textOfExport(
  decoder: ExportDecoder,
  prompt: readonly number[],
  maxNewTokens: number,
): Promise<{ readonly tokens: ExportedToken[]; readonly logits: SeenLogits[] }> {
  const own = { ...decoder.sessions };
  const logits: SeenLogits[] = [];
  let length = 0;
  for (const [graph, session] of Object.entries(own)) {
    decoder.sessions[graph] = {
      inputNames: session.inputNames,
      async run(feeds) {
        length += feeds["ids"]?.dims[0] ?? 0;
        const results = await session.run(feeds);
        const row = results["logits"]?.data as Float32Array | undefined;
        if (row !== undefined) logits.push({ graph, position: length - 1, row });
        return results;
      },
      release: () => session.release(),
    };
  }
  const tokens: ExportedToken[] = [];
  const options = { maxNewTokens, stopAtEndOfText: false };
  for await (const token of decoder.generate(prompt, options)) tokens.push(token);
  Object.assign(decoder.sessions, own);
  return { tokens, logits };
}

/** Logits of all positions, T·V, of a full pass, by the graph that gives them. */
async function logitsOf(
  source: Model | ExitHeads,
  ids: readonly number[],
  policy: Policy | undefined,
): Promise<Map<string, Float32Array>> {
  const model = "model" in source ? source.model : source;
  const exits = (policy?.exits ?? []).flatMap(({ threshold }, i) =>
    threshold === "never" || !("heads" in source) ? [] : [source.heads[i]!],
  );
  const wanted = new Set([...exits.map(({ depth }) => depth), model.config.numLayers]);
  const byGraph = new Map<string, Float32Array>();
  const states = new Map(scope(() => [...model.forward(ids, { wanted: (depth) => wanted.has(depth) })]));
  for (const [k, head] of exits.entries()) {
    const own = await head.logits(states.get(head.depth)!);
    byGraph.set(`stretch-${k}.onnx`, await head.allLogits(own));
    own.dispose();
  }
  const final = scope(() => model.unembed(states.get(model.config.numLayers)!));
  byGraph.set(`stretch-${exits.length}.onnx`, await final.read());
  final.dispose();
  for (const state of states.values()) state.dispose();
  return byGraph;
}
