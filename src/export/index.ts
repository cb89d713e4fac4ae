/**
 * Models with exits for other runtimes: ONNX graphs with a manifest, and heads under other projects' key names.
 * @module early-exits/export
 */
export { type ExportedGraph, exportOnnx, type ExportOptions, type OnnxExport } from "./export-onnx.js";
export {
  type Attribute,
  type ElementType,
  GraphBuilder,
  type NodeOptions,
  type Port,
  type Sizes,
} from "./graph-builder.js";
export type { ExportedExit, ExportManifest, Stretch } from "./manifest.js";
export { type HeadLayout, headLayouts, type LaidOutHeads, layOutHeads } from "./layouts.js";
export { tritonRepository, type TritonRepository } from "./triton.js";
export type { Placed } from "./weight-file.js";
