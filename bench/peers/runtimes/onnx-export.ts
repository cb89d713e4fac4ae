/**
 * Peer: an export of this library (`early-exits export`) without exits in onnxruntime-node: one graph, which
 * takes ids and the cache, and gives the next token and the new cache. The native CPU provider, all optimizations.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { importPeer, type PeerSession } from "../peer.js";

/** Fields that are read of exits.json. */
interface Manifest {
  readonly model: { readonly numKvHeads: number; readonly headDim: number };
  readonly stretches: readonly {
    readonly graph: string;
    readonly caches: readonly number[];
    readonly positions: boolean;
  }[];
}

export async function openOnnxExport(folder: string, threads: number): Promise<PeerSession> {
  const { InferenceSession, Tensor } = await importPeer("onnxruntime-node", () => import("onnxruntime-node"));
  const { model, stretches } = JSON.parse(await readFile(join(folder, "exits.json"), "utf8")) as Manifest;
  const [{ graph, caches, positions }] = stretches as [Manifest["stretches"][number]];
  const session = await InferenceSession.create(join(folder, graph), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    executionMode: "sequential",
  });
  const names = caches.flatMap((layer) => [`key_${layer}`, `value_${layer}`]);
  const empty = () =>
    names.map(() => new Tensor("float32", new Float32Array(0), [model.numKvHeads, 1, 0, model.headDim]));
  const integers = (values: readonly number[]) =>
    new Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
  let past = empty();
  let length = 0;

  return {
    info: "cpu provider, an export of this library, float32",
    reset() {
      past = empty();
      length = 0;
      return Promise.resolve();
    },
    async advance(ids) {
      const results = await session.run({
        ids: integers(ids),
        ...(positions && { positions: integers(ids.map((_, i) => length + i)) }),
        ...Object.fromEntries(names.map((name, i) => [`past_${name}`, past[i]!])),
      });
      past = names.map((name) => results[`present_${name}`] as (typeof past)[number]);
      length += ids.length;
      return Number((results["token"]!.data as BigInt64Array)[0]);
    },
    close: () => session.release(),
  };
}
