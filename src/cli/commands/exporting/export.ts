/**
 * `early-exits export`: a model with exits as ONNX graphs with drivers, or heads under the key names of another
 * project.
 */
import { join } from "node:path";
import { certificateFrom, policyFrom } from "../../../calibrate/index.js";
import type { Certificate, ExitHeads, Model, Policy } from "../../../index.js";
import { exportOnnx, type HeadLayout, headLayouts, layOutHeads } from "../../../export/index.js";
import type { Budgets } from "../../../model/index.js";
import { readHeads, readJson, writeExport, writeFolder, writeTritonRepository } from "../../../node/index.js";
import type { CommandDefinition } from "../../command.js";
import { bytes } from "../../format.js";
import { type CommonOptions, type Io, UsageError, writeResult } from "../../io.js";
import { modelDefaults, openModel } from "../../open-model.js";
import { budgetsOption, deviceOption, headsOption, modelFolder } from "../../options.js";

export interface ExportSettings extends CommonOptions {
  readonly dir: string;
  readonly heads?: string | undefined;
  readonly policy?: string | undefined;
  readonly onnx?: string | undefined;
  readonly triton?: boolean | undefined;
  readonly layout?: HeadLayout | undefined;
  readonly out?: string | undefined;
  readonly device?: string | undefined;
  readonly budgets?: Partial<Budgets> | undefined;
}

export const exportCommand: CommandDefinition<ExportSettings> = {
  name: "export",
  description: "Write a model with exits for onnxruntime or Triton, or heads under other projects' key names",
  positional: [modelFolder],
  options: [
    headsOption,
    { flags: "--policy <file>", description: "when tokens leave; made by calibrate for float32 weights" },
    { flags: "--onnx <folder>", description: "write ONNX graphs, their weights, a manifest and drivers" },
    { flags: "--triton", description: "also write a model repository for Triton, in the folder triton of --onnx" },
    { flags: "--layout <name>", description: "write the heads under these key names to --out", choices: headLayouts },
    { flags: "--out <folder>", description: "where --layout writes" },
    deviceOption,
    budgetsOption,
  ],
  defaults: { device: modelDefaults.device },
  examples: [
    "export my-model --heads heads --policy policy.json --onnx exported",
    "export my-model --onnx exported",
    "export my-model --heads heads --layout balcony --out balcony-heads",
  ],
  run,
};

async function run(settings: ExportSettings, io: Io): Promise<void> {
  const { dir, heads: headsFolder, policy: policyFile, onnx, layout, out, device, budgets, json } = settings;
  requireConsistent(settings);
  const model = await openModel(io, dir, { device, budgets, dtype: "float32", unembedding: "full" });
  const heads = headsFolder === undefined ? undefined : await readHeads(headsFolder, model);
  try {
    if (layout !== undefined) {
      const files = await layOutHeads(heads!, layout);
      await writeFolder(out!, files);
      const names = Object.keys(files);
      writeResult(io, { json }, { layout, out, files: names }, [`${out!}: ${names.join(", ")}`]);
      return;
    }
    const policy = policyFile === undefined ? undefined : await readPolicy(policyFile);
    await writeGraphs(io, heads ?? model, policy, { ...settings, onnx: onnx! });
  } finally {
    heads?.dispose();
    model.dispose();
  }
}

function requireConsistent({ heads, policy, onnx, triton, layout, out }: ExportSettings): void {
  if ((onnx === undefined) === (layout === undefined)) {
    throw new UsageError("export: choose what to write, --onnx FOLDER or --layout NAME --out FOLDER");
  }
  if (layout !== undefined && (heads === undefined || out === undefined)) {
    throw new UsageError("export: --layout needs --heads, which it writes, and --out, where to");
  }
  if (onnx !== undefined && (heads === undefined) !== (policy === undefined)) {
    throw new UsageError("export: --heads and --policy belong together; leave out both to export without exits");
  }
  if (triton === true && onnx === undefined) {
    throw new UsageError("export: --triton needs --onnx, whose graphs it arranges");
  }
}

/** The policy of a file, and the certificate if the file is one. */
async function readPolicy(file: string): Promise<{ readonly policy: Policy; readonly certificate?: Certificate }> {
  const json = await readJson(file);
  const policy = policyFrom(json);
  const { format } = json as { readonly format?: unknown };
  return format === "early-exits/certificate" ? { policy, certificate: certificateFrom(json) } : { policy };
}

async function writeGraphs(
  io: Io,
  source: Model | ExitHeads,
  policy: Awaited<ReturnType<typeof readPolicy>> | undefined,
  { onnx, triton = false, json }: ExportSettings & { readonly onnx: string },
): Promise<void> {
  const exported = await exportOnnx(source, policy);
  await writeExport(onnx, exported);
  if (triton) await writeTritonRepository(join(onnx, "triton"), onnx, exported);
  const { stretches, weights, fill } = exported.manifest;
  const lines = stretches.map(({ graph, begin, end, exit }) => {
    const blocks = end === begin ? "no block" : `blocks ${begin + 1} to ${end}`;
    return `${graph}: ${blocks}, then ${exit === undefined ? "the model's own logits" : `exit ${exit.index}`}`;
  });
  if (fill !== undefined) lines.push(`fill: ${fill}`);
  lines.push(`${weights.file}: ${bytes(weights.bytes)} as float32`);
  const result = { onnx, graphs: exported.graphs.map(({ name }) => name), stretches, weights, fill, triton };
  writeResult(io, { json }, result, lines);
}
