/** `early-exits get`: downloads a model of the Hugging Face Hub to the shared cache and prints its path. */
import { parseHubName } from "early-exits/model";
import { fileExists } from "early-exits/node";
import type { CommandDefinition } from "../command.js";
import { type CommonOptions, type Io, note, writeResult } from "../io.js";
import { commandLine, nextLines } from "../next-lines.js";
import { findModel } from "../open-model.js";

interface GetSettings extends CommonOptions {
  readonly name: string;
}

export const getCommand: CommandDefinition<GetSettings> = {
  name: "get",
  description: "Download a model of the Hugging Face Hub and print its path",
  positional: [{ syntax: "<name>", description: "org/name, org/name@revision or org/name/file.gguf" }],
  options: [],
  defaults: {},
  examples: [
    "get HuggingFaceTB/SmolLM2-135M-Instruct",
    "get HuggingFaceTB/SmolLM2-135M-Instruct@main",
    "get org/name/model-q4_k_m.gguf",
  ],
  run,
};

async function run({ name, json }: GetSettings, io: Io): Promise<void> {
  const { path, hub } = await findModel(io, name);
  if (hub === undefined && !(await fileExists(path))) parseHubName(name); // throws, and says why it is not a name
  if (hub !== undefined) {
    const { repo, revision, files, bytes, source } = hub;
    const from = source === "cache" ? ", from the cache without asking the Hub" : "";
    const count = files.length === 1 ? "1 file" : `${files.length} files`;
    note(io, `${repo}@${revision}: ${count}, ${(bytes / 1e6).toFixed(1)} MB${from}`);
  }
  writeResult(io, { json }, { path, ...hub }, [path]);
  if (json === true) return;
  note(io, ...nextLines(commandLine("plan", [name]), commandLine("chat", [name])));
}
