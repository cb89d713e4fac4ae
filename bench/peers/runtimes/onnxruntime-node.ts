/** Peer: onnxruntime-node (native CPU provider), sequential execution, all graph optimizations. */
import { join } from "node:path";
import { onnxSession } from "./onnx-session.js";
import { importPeer, type Job, type PeerSession } from "../peer.js";

export async function openOnnxruntimeNode({ folder, threads, variant }: Job): Promise<PeerSession> {
  const { InferenceSession, Tensor } = await importPeer("onnxruntime-node", () => import("onnxruntime-node"));
  const session = await InferenceSession.create(join(folder, `${variant}.onnx`), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    executionMode: "sequential",
  });
  return onnxSession(Tensor, session, `cpu provider, ${variant} attention`);
}
