/** The model, heads and policy that a command line names. */
import type { ExitHeads, GenerateOptions, Model, Policy } from "early-exits";
import { Audit, policyFrom } from "early-exits/calibrate";
import { storageOf } from "early-exits/model";
import { readHeads, readJson } from "early-exits/node";
import { type DepthColors, depthColors } from "../depth-colors.js";
import { type Io, note, UsageError } from "../io.js";
import { type ModelSettings, openModel, openReference } from "../open-model.js";
import { samplingOf } from "../options.js";
import type { AuditSettings, DecodingSettings } from "./decoding-options.js";
import { openShipped } from "./open-shipped.js";

export interface Decoding {
  readonly model: Model;
  /** The heads, otherwise the model. */
  readonly source: Model | ExitHeads;
  readonly policy: Policy | undefined;
  /** Given options only; the library has the defaults. */
  readonly options: GenerateOptions;
  readonly audit: Audit | undefined;
  readonly colors: DepthColors;
  dispose(): void;
}

/** Throws a UsageError that begins with the command's name if settings contradict. */
export async function openDecoding(
  io: Io,
  command: string,
  settings: DecodingSettings & AuditSettings,
): Promise<Decoding> {
  const { heads: headsFolder, policy: policyFile, shipped } = settings;
  checkSettings(command, settings);
  const own = policyFile === undefined ? undefined : policyFrom(await readJson(policyFile));
  const { model, heads, policy } =
    shipped === undefined
      ? await openOwn(io, { ...settings, ...storageFor(settings, own) }, own)
      : await openWithShipped(io, command, shipped, settings);
  const audited = settings.audit === undefined ? undefined : await openAudit(io, model, heads!, policy!, settings);
  if (headsFolder !== undefined && policy === undefined) {
    note(io, "no --policy: exits are off, every token runs all blocks");
  }
  return {
    model,
    source: heads ?? model,
    policy,
    options: {
      ...optionsOf(settings),
      ...(policy !== undefined && { policy, lossless: settings.lossless ?? false }),
      now: () => performance.now(),
    },
    audit: audited?.audit,
    colors: depthColors(io, policy?.exits.map(({ depth }) => depth) ?? [], model.config.numLayers),
    dispose() {
      heads?.dispose();
      audited?.reference?.dispose();
      model.dispose();
    },
  };
}

function checkSettings(
  command: string,
  { heads, policy, shipped, lossless = false, audit }: DecodingSettings & AuditSettings,
): void {
  if (audit !== undefined && lossless) {
    throw new UsageError(`${command}: --audit judges what exits change, and --lossless changes nothing; leave one out`);
  }
  if (shipped !== undefined && (heads ?? policy) !== undefined) {
    throw new UsageError(`${command}: --shipped stands for --heads and --policy; give one or the other`);
  }
  if (policy !== undefined && heads === undefined) {
    throw new UsageError(`${command}: --policy needs --heads, the folder of the heads it was made for`);
  }
  if (lossless && policy === undefined && shipped === undefined) {
    throw new UsageError(
      `${command}: --lossless needs --policy, whose thresholds decide what is drafted (early-exits calibrate)`,
    );
  }
  if (audit !== undefined && policy === undefined && shipped === undefined) {
    throw new UsageError(`${command}: --audit needs --policy, whose promise it tests`);
  }
}

interface Opened {
  readonly model: Model;
  readonly heads: ExitHeads | undefined;
  readonly policy: Policy | undefined;
}

async function openOwn(io: Io, settings: DecodingSettings, policy: Policy | undefined): Promise<Opened> {
  const model = await openModel(io, settings.dir, settings);
  const heads = settings.heads === undefined ? undefined : await readHeads(settings.heads, model);
  return { model, heads, policy };
}

async function openWithShipped(io: Io, command: string, level: number, settings: DecodingSettings): Promise<Opened> {
  const { model, heads, certificate } = await openShipped(io, command, settings.dir, level, settings);
  return { model, heads, policy: certificate.policy };
}

/** A policy's certificate names the model's storage, so the user need not. */
function storageFor({ dtype, kvCache }: DecodingSettings, policy: Policy | undefined): ModelSettings {
  if (policy?.certified === undefined || dtype !== undefined || kvCache !== undefined) return {};
  return storageOf(policy.certified.dtype);
}

async function openAudit(
  io: Io,
  model: Model,
  heads: ExitHeads,
  policy: Policy,
  { dir, budgets, audit: every, seed }: DecodingSettings & AuditSettings,
): Promise<{ readonly audit: Audit; readonly reference: Model | undefined }> {
  const against = policy.certified?.reference.dtype === "float32" ? "float32" : "same";
  const reference = await openReference(io, dir, model, { against, budgets });
  const options = {
    ...(every && { every }),
    ...(seed !== undefined && { seed }),
    ...(reference && { against: reference }),
  };
  return { audit: new Audit(heads, policy, options), reference };
}

function optionsOf(settings: DecodingSettings): GenerateOptions {
  const { maxNewTokens, stop, seed, allowUncertified } = settings;
  const options = { maxNewTokens, stop, seed, allowUncertified };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...samplingOf(settings), ...given };
}
