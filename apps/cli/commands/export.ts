/** `early-exits export`: a model with exits as ONNX graphs, with drivers for onnxruntime. */
import { checkCertificate } from "early-exits";
import { readJson, readPolicy } from "early-exits/node";
import { exportOnnx, writeExport } from "../../export/index.js";
import { type CommandDefinition, given, type OptionDefinition, type SettingsOf } from "../command.js";
import { bytes } from "../format.js";
import { type Io, refuseIf, writeResult } from "../io.js";
import { openExits, shippedOption } from "../decoding.js";
import { modelDefaults } from "../open-model.js";
import { budgetsOption, deviceOption, headsOption, modelFolder, outOption, policyOption } from "../options.js";

const options = [
  headsOption,
  { ...policyOption, description: "policy made by calibrate, for float32 weights" },
  shippedOption,
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
  const { heads: headsFolder, policy: policyFile, out } = settings;
  refuseIf(
    (headsFolder === undefined) !== (policyFile === undefined),
    "export: --heads and --policy belong together; leave out both to export without exits",
  );
  const storage = { dtype: "float32", unembedding: "full" } as const;
  const own = policyFile === undefined ? undefined : await readPolicy(policyFile);
  const { model, heads, ...shipped } = await openExits(io, "export", { ...settings, ...storage });
  const policy = shipped.certificate?.policy ?? own;
  const json = own?.certified && (await readJson(policyFile!));
  const certificate = json === undefined ? shipped.certificate : checkCertificate(json);
  try {
    const exported = await exportOnnx(heads ?? model, given({ policy, certificate }));
    await writeExport(out, exported);
    const { stretches, weights, fill } = exported.manifest;
    const lines = stretches.map(({ graph, begin, end, exit }) => {
      const blocks = end === begin ? "no block" : `blocks ${begin + 1} to ${end}`;
      return `${graph}: ${blocks}, then ${exit === undefined ? "the model's own logits" : `exit ${exit.index}`}`;
    });
    if (fill !== undefined) lines.push(`fill: ${fill}`);
    lines.push(`${weights.file}: ${bytes(weights.bytes)} as float32`);
    const graphs = exported.graphs.map(({ name }) => name);
    writeResult(io, settings, { out, graphs, stretches, weights, fill }, lines);
  } finally {
    await model.device.dispose();
  }
}
