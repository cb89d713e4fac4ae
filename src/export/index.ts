/**
 * Models with exits for other runtimes: ONNX graphs with a manifest.
 * @module early-exits/export
 */
export { type ExportedGraph, exportOnnx, type ExportOptions, type OnnxExport } from "./export-onnx.js";
export type { ExportedExit, ExportManifest, Stretch } from "./manifest.js";
