/**
 * `early-exits certificate verify`: recomputes a certificate, and with a model, heads and text looks at reality. Exit
 * status 1 where it does not hold.
 */
import { checkCertificate, EarlyExitError, verifyCertificate } from "../../index.js";
import { readHeads, readJson, readModel } from "../../node/index.js";
import { promiseLines } from "./calibrate.js";
import { breathe, type CommonOptions, type Io, openDevice, UsageError, writeResult } from "../io.js";
import { createProgress } from "../progress.js";
import { readDocuments } from "../text-source.js";

export interface VerifySettings extends CommonOptions {
  /** "verify", so far. */
  readonly action: string;
  readonly file: string;
  readonly model?: string | undefined;
  readonly heads?: string | undefined;
  readonly text?: string | undefined;
  readonly device?: string | undefined;
}

export async function run(
  { action, file, model: folder, heads: headsFolder, text, ...settings }: VerifySettings,
  io: Io,
): Promise<void> {
  if (action !== "verify") throw new UsageError(`certificate: ${action} is no action; use certificate verify FILE`);
  if ((headsFolder !== undefined || text !== undefined) && folder === undefined) {
    throw new UsageError("certificate verify: --heads and --text need --model, the folder of the model");
  }
  if (text !== undefined && headsFolder === undefined) {
    throw new UsageError("certificate verify: --text needs --heads: the policy is run on the documents");
  }
  const json = await readJson(file);
  const certificate = checkCertificate(
    typeof json === "object" && json !== null && "certificate" in json ? json.certificate : json,
  );
  const dtype = certificate.policy.certified?.dtype;
  const model =
    folder === undefined
      ? undefined
      : await readModel(folder, { device: await openDevice(io, settings.device), ...(dtype && { dtype }) });
  const heads = headsFolder === undefined ? undefined : await readHeads(headsFolder, model!);
  const documents = text === undefined ? undefined : (await readDocuments(text)).documents;
  const progress = createProgress(io, "verify");
  const result = await verifyCertificate(certificate, {
    ...(model && { model }),
    ...(heads && { heads }),
    ...(documents && { documents }),
    signal: io.signal,
    async onDocument({ document, documents: total }) {
      progress.update({ done: document, total, text: "documents" });
      await breathe();
    },
  }).finally(() => progress.end());
  heads?.dispose();
  model?.dispose();
  const looked = [
    "itself",
    ...(model ? ["the model"] : []),
    ...(heads ? ["the heads"] : []),
    ...(documents ? ["the policy run on the documents"] : []),
  ].join(", ");
  if (!result.valid) {
    throw new EarlyExitError(
      "certificate-invalid",
      `certificate verify: ${file} does not hold: ${result.reasons.join("; ")}`,
      { reasons: result.reasons },
    );
  }
  writeResult(io, settings, result, [`valid: it agrees with ${looked}`, ...promiseLines(certificate)]);
}
