/**
 * A model repository for the Triton Inference Server: one model for each graph, on its onnxruntime backend, and the
 * model `early_exits`, whose Python code calls them one after another (business logic scripting, BLS).
 *     stretch-0/config.pbtxt   stretch-0/1/model.onnx   stretch-0/1/weights.bin    …
 *     early_exits/config.pbtxt   early_exits/1/model.py, exit_loop.py, exits.json
 * Formats: model_config.proto and docs/user_guide/model_repository.md of github.com/triton-inference-server.
 */
import type { ExportedGraph, OnnxExport } from "./export-onnx.js";
import type { ElementType, Port } from "./graph-builder.js";

const types: Readonly<Record<ElementType, string>> = {
  float32: "TYPE_FP32",
  int32: "TYPE_INT32",
  int64: "TYPE_INT64",
};

/** The files of a repository by path. Every folder in `weightFolders` needs the weight file of the export too. */
export interface TritonRepository {
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  readonly weightFolders: readonly string[];
}

/** Makes the repository; `code` are the files model.py and exit_loop.py. */
export function tritonRepository(
  { graphs, manifest }: OnnxExport,
  code: Readonly<Record<"model.py" | "exit_loop.py", string>>,
): TritonRepository {
  const files: Record<string, string | Uint8Array> = {
    "early_exits/config.pbtxt": loopConfig,
    "early_exits/1/model.py": code["model.py"],
    "early_exits/1/exit_loop.py": code["exit_loop.py"],
    "early_exits/1/exits.json": `${JSON.stringify(manifest, undefined, 2)}\n`,
  };
  for (const graph of graphs) {
    const model = modelNameOf(graph);
    files[`${model}/config.pbtxt`] = configOf(model, "onnxruntime", graph.inputs, graph.outputs);
    files[`${model}/1/model.onnx`] = graph.bytes;
  }
  return { files, weightFolders: graphs.map((graph) => `${modelNameOf(graph)}/1`) };
}

function modelNameOf({ name }: Pick<ExportedGraph, "name">): string {
  return name.replace(/\.onnx$/, "");
}

const loopConfig = configOf(
  "early_exits",
  "python",
  [
    { name: "ids", type: "int64", sizes: ["n"] },
    { name: "max_new_tokens", type: "int32", sizes: [1] },
  ],
  [
    { name: "tokens", type: "int64", sizes: ["m"] },
    { name: "depths", type: "int32", sizes: ["m"] },
  ],
);

/** A ModelConfig as text. Batches are off: a request is one text. */
function configOf(name: string, backend: string, inputs: readonly Port[], outputs: readonly Port[]): string {
  const list = (kind: "input" | "output", ports: readonly Port[]): string =>
    `${kind} [\n${ports.map((port) => `  { ${portText(port)} }`).join(",\n")}\n]\n`;
  return (
    `name: "${name}"\nbackend: "${backend}"\nmax_batch_size: 0\n` + list("input", inputs) + list("output", outputs)
  );
}

function portText({ name, type, sizes }: Port): string {
  const dims = sizes.map((size) => (typeof size === "number" ? size : -1)); // -1: it varies
  return `name: "${name}", data_type: ${types[type]}, dims: [ ${dims.join(", ")} ]`;
}
