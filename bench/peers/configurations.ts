/** Every way of running every peer that the report compares. */
import type { GgufType } from "./formats/gguf.js";
import { type AttentionForm, attentionForms } from "./formats/make-onnx.js";
import type { Configuration, PeerName } from "./peer.js";

export const ggufTypes: readonly GgufType[] = ["f32", "bf16", "q8_0"];

const variants: Readonly<Record<PeerName, readonly string[]>> = {
  ours: ["float32", "bfloat16", "int8"],
  "onnxruntime-node": attentionForms satisfies readonly AttentionForm[],
  "onnxruntime-web": attentionForms,
  "node-llama-cpp": ggufTypes,
  torch: ["float32"],
};

export function decodeConfigurations(peers: readonly PeerName[], threads: readonly number[]): Configuration[] {
  return peers.flatMap((peer) =>
    threads.flatMap((count) => variants[peer].map((variant) => ({ peer, variant, threads: count }))),
  );
}

/** Training is compared on one thread: the goal is stated for one. */
export function trainConfigurations(peers: readonly PeerName[]): Configuration[] {
  const all: Configuration[] = [
    { peer: "ours", variant: "float32", threads: 1 },
    { peer: "torch", variant: "default", threads: 1 },
    { peer: "torch", variant: "fused", threads: 1 },
  ];
  return all.filter(({ peer }) => (peers as readonly string[]).includes(peer));
}

export function labelOf({ peer, variant, threads }: Configuration): string {
  return `${peer} ${variant} ${threads}t`;
}
