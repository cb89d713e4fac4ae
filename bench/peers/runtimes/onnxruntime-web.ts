/** Peer: onnxruntime-web, its WebAssembly backend in Node (worker threads above one thread). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { onnxSession } from "./onnx-session.js";
import { importPeer, type Job, type PeerSession } from "../peer.js";

export async function openOnnxruntimeWeb({ folder, threads, variant }: Job): Promise<PeerSession> {
  const { env, InferenceSession, Tensor } = await importPeer("onnxruntime-web", () => import("onnxruntime-web"));
  env.wasm.numThreads = threads;
  const session = await InferenceSession.create(await readFile(join(folder, `${variant}.onnx`)), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
    executionMode: "sequential",
  });
  return onnxSession(Tensor, session, `wasm backend, ${variant} attention`);
}
