/**
 * `exportOnnx` writes a model with exits as ONNX graphs, one for each stretch between exits, because a runtime is fast
 * on straight graphs and slow on `If`:
 *     ids    ->  blocks up to the first exit, its head and score     -> states, keys and values, token, score
 *     states ->  blocks up to the next exit, …
 *     states ->  the last blocks, final norm and unembedding         -> keys and values, token, logits
 * A driver runs the graphs in turn and stops where a score passes (manifest.ts says how). Exits that never let a token
 * leave are left out.
 */
import { libraryVersion, OptionError } from "early-exits";
import { type Certificate, checkCertificate } from "early-exits/calibrate";
import {
  createDecoder,
  type ExitHead,
  ExitHeads,
  type Matrices,
  type Policy,
  PolicyError,
  scoreDirection,
} from "early-exits/exits";
import { keyValueLayers, type Model } from "early-exits/model";
import { type Blocks, blocksOf } from "./blocks.js";
import { GraphBuilder, OPSET, type Port, WEIGHTS } from "./graph-builder.js";
import { buildHead, tokenOf } from "./heads.js";
import { type Graph, linear, normalize, normalizeOnly } from "./layers.js";
import { type ExportedExit, type ExportManifest, loop, type Stretch } from "./manifest.js";
import { WeightFile } from "./weight-file.js";

const CERTIFICATE = "certificate.json";

interface ExportOptions {
  /** Needed if the source has heads. @default no exits */
  readonly policy?: Policy | undefined;
  /** Certificate of the policy, for the export. @default none */
  readonly certificate?: Certificate | undefined;
}

interface ExportedGraph {
  readonly name: string;
  /** A ModelProto. */
  readonly bytes: Uint8Array;
}

/** Content of a folder; weights are read from the device when asked for. */
export interface OnnxExport {
  readonly manifest: ExportManifest;
  readonly graphs: readonly ExportedGraph[];
  readonly certificate?: Certificate;
  /** The content of the weight file, in parts. */
  weights(): AsyncIterable<Uint8Array>;
}

/**
 * Throws an OptionError ("export-dtype") unless the model is stored as float32 (heads may be stored as anything), and a
 * PolicyError if the policy is missing or does not fit the heads.
 */
export async function exportOnnx(
  source: Model | ExitHeads,
  { policy, certificate }: ExportOptions = {},
): Promise<OnnxExport> {
  const [heads, model] = source instanceof ExitHeads ? [source, source.model] : [undefined, source];
  requireFloat32(model);
  await requirePolicy(heads, policy);
  const exits = await exitsOf(heads, policy);
  const weights = new WeightFile();
  const made = buildGraphs(model, exits, policy, weights);
  const checked = certificate && certificateOf(certificate, policy);
  return {
    manifest: {
      format: "early-exits/export",
      version: 1,
      library: libraryVersion,
      model: await describe(model),
      ...(heads && { headsHash: await heads.hash() }),
      opset: OPSET,
      weights: { file: WEIGHTS, bytes: weights.bytes },
      stretches: made.stretches,
      ...(policy && {
        score: { name: policy.score, leaves: scoreDirection(policy.score) },
        fill: graphFill(policy),
        policy,
      }),
      ...(checked && { certificate: { file: CERTIFICATE, digest: checked.digest } }),
      loop,
    },
    graphs: made.graphs,
    ...(checked && { certificate: checked }),
    weights: () => weights.chunks(),
  };
}

interface Exit {
  readonly index: number;
  readonly head: ExitHead;
  readonly packed: Matrices;
  readonly threshold: ExportedExit["threshold"];
}

function requireFloat32({ storedAs }: Model): void {
  if (storedAs === "float32") return;
  throw new OptionError(
    "export-dtype",
    `export: the model is stored as ${storedAs}, whose products round as no graph of float32 does; load it with ` +
      'dtype "float32" and a float32 KV cache, with a policy calibrated for that',
    { storedAs },
  );
}

async function requirePolicy(heads: ExitHeads | undefined, policy: Policy | undefined): Promise<void> {
  if (heads !== undefined && policy !== undefined) return createDecoder(heads, { policy }).prepare?.();
  if (heads === undefined && policy === undefined) return;
  throw new PolicyError(
    "export-policy",
    heads === undefined
      ? "export: a policy needs its heads; pass the heads in place of the model"
      : "export: heads need a policy, which says when a token leaves; pass the model alone to export it without exits",
  );
}

function certificateOf(certificate: Certificate, policy: Policy | undefined): Certificate {
  const checked = checkCertificate(certificate);
  if (JSON.stringify(checked.policy) === JSON.stringify(policy)) return checked;
  throw new PolicyError(
    "export-certificate",
    "export: the certificate is for another policy; pass the certificate that holds the exported policy",
  );
}

async function exitsOf(heads: ExitHeads | undefined, policy: Policy | undefined): Promise<Exit[]> {
  const exits: Exit[] = [];
  for (const [index, { threshold }] of (policy?.exits ?? []).entries()) {
    if (threshold === "never") continue;
    const head = heads!.heads[index]!;
    exits.push({
      index,
      head,
      packed: { ...(await head.weights.packed()), ...(await head.preview?.packed()) },
      threshold,
    });
  }
  return exits;
}

/** Exact fills, which give the same tokens, become the one that graphs can do. */
function graphFill({ fill }: Policy): "lazy" | "project" {
  return fill === "project" ? fill : "lazy";
}

async function describe(model: Model): Promise<ExportManifest["model"]> {
  const {
    modelType,
    numLayers,
    hiddenSize,
    vocabSize,
    numKvHeads,
    headDim,
    maxPositionEmbeddings,
    bosTokenId,
    eosTokenIds,
  } = model.config;
  return {
    modelType,
    hash: await model.hash(),
    numLayers,
    hiddenSize,
    vocabSize,
    numKvHeads,
    headDim,
    maxPositionEmbeddings,
    bosTokenId,
    eosTokenIds,
  };
}

function buildGraphs(
  model: Model,
  exits: readonly Exit[],
  policy: Policy | undefined,
  weights: WeightFile,
): { readonly graphs: readonly ExportedGraph[]; readonly stretches: readonly Stretch[] } {
  const graphs: ExportedGraph[] = [];
  const stretches: Stretch[] = [];
  const keep = (name: string, { builder }: Graph): void => {
    graphs.push({ name, bytes: builder.serialize() });
  };
  let begin = 0;
  for (const [k, exit] of [...exits, undefined].entries()) {
    const name = `stretch-${k}.onnx`;
    const end = exit?.head.depth ?? model.config.numLayers;
    const newestRow = begin >= keyValueLayers(model.config);
    const graph = { builder: new GraphBuilder(name), weights };
    const { caches, reads, takesPositions } = buildStretch(graph, model, { begin, end, exit, policy });
    keep(name, graph);
    const fill = exit && fillOf(model, exit, policy!, weights);
    if (fill !== undefined) keep(fill.name, fill.graph);
    stretches.push({
      graph: name,
      begin,
      end,
      caches,
      reads,
      newestRow,
      positions: takesPositions,
      ...(exit && { exit: describeExit(exit, fill) }),
    });
    begin = end;
  }
  return { graphs, stretches };
}

function describeExit({ index, head, threshold }: Exit, fill: FillGraph | undefined): ExportedExit {
  return {
    index,
    depth: head.depth,
    threshold,
    ...(fill && { fill: { graph: fill.name, caches: fill.blocks.caches, positions: fill.blocks.takesPositions } }),
  };
}

interface StretchPlan {
  readonly begin: number;
  readonly end: number;
  readonly exit: Exit | undefined;
  readonly policy: Policy | undefined;
}

/** Inputs ids or state, positions, past keys and values; outputs next_state, token, score or logits, and the caches. */
function buildStretch(graph: Graph, model: Model, { begin, end, exit, policy }: StretchPlan): Blocks {
  const { builder: b } = graph;
  const { hiddenSize, vocabSize } = model.config;
  const blocks = blocksOf(graph, model);
  let x = begin === 0 ? blocks.embed(b.input("ids", "int64", ["T"])) : b.input("state", "float32", ["T", hiddenSize]);
  for (let layer = begin; layer < end; layer++) x = blocks.run(x, layer);
  const last = b.node("Gather", [x, b.int64(-1)]); // [1, C]
  const give = (name: string, from: string, type: "float32" | "int64", sizes: Port["sizes"]): void => {
    b.node("Identity", [from], { outputs: [name] });
    b.output(name, type, sizes);
  };
  if (exit === undefined) {
    const normed = normalize(graph, last, model.weights.finalNorm, model.config, "final_norm");
    const logits = linear(graph, normed, model.weights.unembedding, "unembedding");
    give("token", tokenOf(graph, { logits }), "int64", [1]);
    give("logits", logits, "float32", [1, vocabSize]);
    return blocks;
  }
  const { token, score, logits } = buildHead(graph, exit, last, policy!.score);
  give("next_state", x, "float32", ["T", hiddenSize]);
  give("token", token, "int64", [1]);
  give("score", score, "float32", [1]);
  if (logits !== undefined) give("logits", logits, "float32", [1, vocabSize]);
  return blocks;
}

interface FillGraph {
  readonly name: string;
  readonly graph: Graph;
  readonly blocks: Blocks;
}

/** Graph of keys and values of skipped blocks: inputs state [T, C], positions, past ones. */
function fillOf(model: Model, { index, head }: Exit, policy: Policy, weights: WeightFile): FillGraph | undefined {
  const layers = Array.from({ length: keyValueLayers(model.config) - head.depth }, (_, i) => head.depth + i);
  if (policy.fill !== "project" || layers.length === 0) return undefined;
  const name = `fill-${index}.onnx`;
  const graph = { builder: new GraphBuilder(name), weights };
  const blocks = blocksOf(graph, model);
  const x = graph.builder.input("state", "float32", ["T", model.config.hiddenSize]);
  projectAll(graph, blocks, head, x, layers);
  return { name, graph, blocks };
}

/** One learned product for all skipped blocks (exits/heads/projection.ts). */
function projectAll(graph: Graph, blocks: Blocks, head: ExitHead, x: string, layers: readonly number[]): void {
  const { builder: b } = graph;
  const { model } = head;
  const projection = head.projection!; // the policy was checked
  const normed = model.weights.blocks[0]!.attentionNorm === undefined ? x : normalizeOnly(graph, x, model.config);
  const input = projection.input === "normalized" ? normed : b.node("Concat", [normed, x], { attributes: { axis: 1 } });
  const { shape, weight, bias } = projection;
  const placed = (part: string, size: readonly number[], values: Float32Array): string =>
    b.placed(
      `exit.${head.depth}.projection.${part}`,
      size,
      graph.weights.place(values, values.length, () => Promise.resolve(values)),
    );
  const rows = [placed("weight", shape, weight), placed("bias", [bias.length], bias)];
  const all = b.node("Gemm", [input, ...rows], { attributes: { transB: 1 } });
  const parts = b.split(
    all,
    1,
    layers.map(() => shape[0] / layers.length),
  );
  for (const [i, layer] of layers.entries()) blocks.fillWith(parts[i]!, layer);
}
