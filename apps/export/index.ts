/**
 * Models with exits for other runtimes: ONNX graphs with a manifest.
 * @module early-exits/export
 */
export { exportOnnx, type OnnxExport } from "./export-onnx.js";
export type { ExportManifest } from "./manifest.js";
export { writeExport } from "./write-export.js";
