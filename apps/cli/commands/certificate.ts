/**
 * `early-exits certificate verify`: recomputes a certificate, and compares it with model, heads and text if given. Exit
 * status 1 if it does not hold.
 */
import { type Certificate, checkCertificate, EarlyExitError, verifyCertificate } from "early-exits";
import type { Verification } from "early-exits/calibrate";
import { storageOf } from "early-exits/model";
import { readHeads, readJson } from "early-exits/node";
import { promiseLines } from "../calibration-lines.js";
import { type CommandDefinition, given, type OptionDefinition, type SettingsOf } from "../command.js";
import { ownTextParts, readGrouped } from "../documents.js";
import { type Io, refuseIf, writeResult } from "../io.js";
import { modelDefaults, openModel, openReference, trainingThreads } from "../open-model.js";
import { openLoss, readTasks } from "../answers.js";
import {
  budgetsOption,
  deviceOption,
  documentsOption,
  headsOption,
  integer,
  promptsOption,
  textOption,
} from "../options.js";
import { withProgress } from "../progress.js";

const options = [
  { flags: "--model <path>", description: "the model that the certificate is for, a folder or a GGUF file" },
  { ...headsOption, description: "the heads that the certificate is for" },
  { ...textOption, description: "the calibration text" },
  { ...promptsOption, description: "of a claim about answers, the prompts, which are answered again" },
  { flags: "--loss <module>", description: "the module, if the claim's loss is one; no other is run" },
  documentsOption,
  {
    flags: "--limit <n>",
    description: "with the fill project: run candidates on at most n positions, or else the policy alone",
    parse: integer(0),
  },
  deviceOption,
  budgetsOption,
] as const satisfies readonly OptionDefinition[];

type VerifySettings = SettingsOf<typeof options, "action"> & { readonly file?: string };

export const certificateCommand: CommandDefinition<VerifySettings> = {
  name: "certificate",
  description:
    "verify FILE: recompute a certificate; with --model, --heads and --text or --prompts, run the policy too",
  positional: [
    { syntax: "<action>", description: "verify" },
    { syntax: "[file]", description: "the file that calibrate --out wrote, or a certificate alone" },
  ],
  options,
  defaults: { device: modelDefaults.device },
  examples: [
    "certificate verify policy.json",
    "certificate verify policy.json --model my-model --heads heads --text held.txt",
  ],
  run,
};

async function run(settings: VerifySettings, io: Io): Promise<void> {
  const { action, file = action, model: folder, heads: headsFolder, limit, device, budgets, prompts } = settings;
  const { text = prompts } = settings;
  refuseIf(
    file !== action && action !== "verify",
    `certificate: there is no action ${action}; use certificate verify FILE`,
  );
  refuseIf(
    (headsFolder !== undefined || text !== undefined) && folder === undefined,
    "certificate verify: --heads, --text and --prompts need --model, the folder or GGUF file of the model",
  );
  refuseIf(
    text !== undefined && headsFolder === undefined,
    "certificate verify: --text and --prompts need --heads, since the policy is run on the documents",
  );
  const certificate = await openCertificate(file);
  const { certified } = certificate.policy;
  const storage = certified === undefined ? {} : storageOf(certified.dtype);
  const opened = { device, budgets, threads: trainingThreads(), ...storage };
  const model = folder === undefined ? undefined : await openModel(io, folder, opened);
  const heads = headsFolder === undefined ? undefined : await readHeads(headsFolder, model!);
  const tasks = prompts === undefined ? undefined : (await readTasks(prompts)).slice(0, settings.documents);
  const own = settings.loss === undefined ? undefined : await openLoss(settings.loss);
  const read = settings.text === undefined ? undefined : await readGrouped(settings.text, model!);
  const taken = read?.slice(0, settings.documents);
  // Of own text, the prompts after which policies wrote.
  const ofOwn = certificate.settings.ownText !== undefined;
  const documents = taken && (ofOwn ? ownTextParts(model!, taken).prompts : taken);
  const { kind, dtype } = certificate.reference;
  const against = kind === "other" && dtype === "float32" ? "float32" : "same";
  const reference = text === undefined ? undefined : await openReference(io, folder!, model!, { against, budgets });
  const result = await withProgress(io, "verify", (report) =>
    verifyCertificate(certificate, {
      ...given({ model, heads, documents, prompts: tasks, limit, against: reference, lossHash: own?.lossHash }),
      ...(typeof own?.loss === "function" && { answerLoss: own.loss }),
      signal: io.signal,
      onDocument: ({ document, documents: total }) =>
        report({ done: document, total, text: tasks === undefined ? "documents" : "candidates" }),
    }),
  );
  await model?.device.dispose();
  if (result.verdict === "refuted") throw refuted(file, result);
  writeResult(io, settings, result, [result.sentence, ...promiseLines(certificate)]);
}

/** All that contradicts a certificate is said, not only that it cannot be opened. */
async function openCertificate(file: string): Promise<Certificate> {
  const json = await readJson(file);
  let certificate: Certificate | undefined;
  try {
    certificate = checkCertificate(json);
  } catch (error) {
    const code = error instanceof EarlyExitError ? error.code : "";
    if (code !== "certificate-shape" && code !== "certificate-seal") throw error;
  }
  const stored = await verifyCertificate(json);
  if (certificate === undefined || stored.verdict === "refuted") throw refuted(file, stored);
  return certificate;
}

function refuted(file: string, { reasons }: Verification): EarlyExitError {
  return new EarlyExitError("certificate-refuted", `certificate verify: ${file} does not hold: ${reasons.join("; ")}`, {
    reasons,
  });
}
