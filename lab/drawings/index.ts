/** Every drawing, by the name of its file in docs/figures. */
import { architecture } from "./architecture.js";
import { certificatePipeline } from "./certificate-pipeline.js";
import { decoder } from "./decoder.js";
import { losslessRound } from "./lossless-round.js";
import { weightPanels } from "./weight-panels.js";

export { palette } from "./shapes.js";

export const drawings: Readonly<Record<string, () => string>> = {
  "drawing-decoder": decoder,
  "drawing-lossless-round": losslessRound,
  "drawing-weight-panels": weightPanels,
  "drawing-certificate": certificatePipeline,
  "drawing-architecture": architecture,
};
