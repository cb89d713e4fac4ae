/** `early-exits export`: a model with exits as ONNX graphs, with drivers for onnxruntime. */
import type { Certificate, Policy } from "early-exits";
import { certificateFrom } from "early-exits/calibrate";
import { readHeads, readJson, readPolicy } from "early-exits/node";
import { exportOnnx, writeExport } from "../../export/index.js";
import type { CommandDefinition, OptionDefinition, SettingsOf } from "../command.js";
import { bytes } from "../format.js";
import { type Io, refuseIf, writeResult } from "../io.js";
import { modelDefaults, openModel } from "../open-model.js";
import { budgetsOption, deviceOption, headsOption, modelFolder, outOption, policyOption } from "../options.js";

const options = [
  headsOption,
  { ...policyOption, description: "when tokens leave; made by calibrate for float32 weights" },
  { ...outOption, description: "where to write graphs, weights, manifest and drivers", required: true },
  deviceOption,
  budgetsOption,
] as const satisfies readonly OptionDefinition[];

type ExportSettings = SettingsOf<typeof options, "dir">;

export const exportCommand: CommandDefinition<ExportSettings> = {
  name: "export",
  description: "Write a model with exits as ONNX graphs, with drivers for onnxruntime",
  positional: [modelFolder],
  options,
  defaults: { device: modelDefaults.device },
  examples: ["export my-model --heads heads --policy policy.json --out exported", "export my-model --out exported"],
  run,
};

async function run(settings: ExportSettings, io: Io): Promise<void> {
  const { dir, heads: headsFolder, policy: policyFile, out, device, budgets, json } = settings;
  refuseIf(
    (headsFolder === undefined) !== (policyFile === undefined),
    "export: --heads and --policy belong together; leave out both to export without exits",
  );
  const model = await openModel(io, dir, { device, budgets, dtype: "float32", unembedding: "full" });
  const heads = headsFolder === undefined ? undefined : await readHeads(headsFolder, model);
  try {
    const exported = await exportOnnx(heads ?? model, policyFile === undefined ? {} : await openPolicy(policyFile));
    await writeExport(out, exported);
    const { stretches, weights, fill } = exported.manifest;
    const lines = stretches.map(({ graph, begin, end, exit }) => {
      const blocks = end === begin ? "no block" : `blocks ${begin + 1} to ${end}`;
      return `${graph}: ${blocks}, then ${exit === undefined ? "the model's own logits" : `exit ${exit.index}`}`;
    });
    if (fill !== undefined) lines.push(`fill: ${fill}`);
    lines.push(`${weights.file}: ${bytes(weights.bytes)} as float32`);
    const graphs = exported.graphs.map(({ name }) => name);
    writeResult(io, { json }, { out, graphs, stretches, weights, fill }, lines);
  } finally {
    heads?.dispose();
    model.dispose();
  }
}

async function openPolicy(file: string): Promise<{ readonly policy: Policy; readonly certificate?: Certificate }> {
  const policy = await readPolicy(file);
  return policy.certified === undefined ? { policy } : { policy, certificate: certificateFrom(await readJson(file)) };
}
