/** The model, heads and policy that `generate`, `chat` and `serve` work with, and the options that name them. */
import {
  type Certificate,
  type ExitHeads,
  type GenerateOptions,
  type LosslessOptions,
  measureUnitTimes,
  type Model,
  type Policy,
} from "early-exits";
import { type Audit, checkCertificate, fastestCertificate } from "early-exits/calibrate";
import { describeSampling, type SamplingOptions, storageOf } from "early-exits/model";
import { readHeads, readPolicy } from "early-exits/node";
import { given, type OptionDefinition, type SettingsOf } from "./command.js";
import { type AuditSettings, openAudit } from "./audit.js";
import { type DepthColors, depthColors } from "./depth-colors.js";
import { type Io, note, refuseIf, UsageError } from "./io.js";
import { type ModelSettings, openModel } from "./open-model.js";
import {
  headsOption,
  maxNewTokensOption,
  number,
  policyOption,
  samplingOf,
  samplingOptions,
  type SamplingSettings,
  seedOption,
} from "./options.js";
import { withProgress } from "./progress.js";
import { certificatesFor, certifiedTexts, findShippedExits, type ShippedExits, unlessDamaged } from "./shipped.js";

export interface Decoding {
  readonly model: Model;
  /** The heads, otherwise the model. */
  readonly source: Model | ExitHeads;
  readonly policy: Policy | undefined;
  /** Given options only; the library has the defaults. */
  readonly options: GenerateOptions;
  /** The same without the policy. */
  readonly plain: GenerateOptions;
  readonly audit: Audit | undefined;
  readonly colors: DepthColors;
  /** Resolves once the audit's state is in its file. */
  kept(): Promise<void>;
  dispose(): void;
}

/**
 * Throws a UsageError that begins with the command's name if settings contradict. With `auditEvery`, one text in so
 * many is audited by default.
 */
export async function openDecoding(
  io: Io,
  command: string,
  settings: DecodingSettings & AuditSettings,
  { auditEvery }: { readonly auditEvery?: number } = {},
): Promise<Decoding> {
  const { heads: headsFolder, policy: policyFile } = settings;
  checkSettings(command, settings);
  const own = policyFile === undefined ? undefined : await readPolicy(policyFile);
  const { dir, lossless = false, allowUncertified = false } = settings;
  const { model, heads, certificate } = await openExits(io, command, settings, own);
  const policy = certificate?.policy ?? own;
  const byDefault = lossless || allowUncertified ? undefined : auditEvery;
  const audited = policy && (await openAudit(io, { heads: heads!, policy, dir, byDefault }, settings));
  if (headsFolder !== undefined && policy === undefined) {
    note(io, "no --policy: exits are off, every token runs all blocks");
  }
  // A single text is too short to repay the measurement, and a server's texts share their passes.
  const priced = command === "chat" && (lossless || policy !== undefined);
  const drafts = priced ? await pricedDrafts(heads ?? model) : true;
  const { maxNewTokens, stop, seed } = settings;
  const plain: GenerateOptions = {
    ...samplingOf(settings),
    ...given({ maxNewTokens, stop, seed, allowUncertified: settings.allowUncertified }),
  };
  return {
    model,
    source: heads ?? model,
    policy,
    options: { ...plain, ...given({ policy }), ...(lossless ? { lossless: drafts } : policy && { drafts }) },
    plain,
    audit: audited?.audit,
    kept: async () => audited?.kept(),
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
  const audited = audit !== undefined && audit !== false;
  refuseIf(
    audited && lossless,
    `${command}: --audit judges what exits change, and --lossless changes nothing; leave one out`,
  );
  refuseIf(
    policy !== undefined && heads === undefined,
    `${command}: --policy needs --heads, the folder of the heads it was made for`,
  );
  refuseIf(
    audited && policy === undefined && shipped === undefined,
    `${command}: --audit needs --policy, whose promise it tests`,
  );
}

interface OpenExits {
  readonly model: Model;
  readonly heads: ExitHeads | undefined;
  /** Of the package's exits. */
  readonly certificate?: Certificate;
}

/**
 * Opens a model with the package's exits at the level `shipped`, or with the heads of a folder, if one is given. A
 * policy's certificate names the model's storage, so the user need not.
 */
export async function openExits(
  io: Io,
  command: string,
  settings: TextSettings & Pick<DecodingSettings, "dir" | "heads" | "policy" | "shipped">,
  policy?: Policy,
): Promise<OpenExits> {
  const { dir, heads, shipped, dtype, kvCache } = settings;
  refuseIf(
    shipped !== undefined && (heads ?? settings.policy) !== undefined,
    `${command}: --shipped stands for --heads and --policy; give one or the other`,
  );
  if (shipped !== undefined) return openShipped(io, command, dir, shipped, settings);
  const certified = dtype === undefined && kvCache === undefined ? policy?.certified : undefined;
  const model = await openModel(io, dir, { ...settings, ...(certified && storageOf(certified.dtype)) });
  return { model, heads: heads === undefined ? undefined : await readHeads(heads, model) };
}

export const shippedOption = {
  flags: "--shipped <agreement>",
  description:
    "in place of --heads and --policy: the exits that come with the package for this model (SmolLM2's with " +
    "early-exits-smollm2), at this level",
  parse: number(1, { open: true }),
} as const;
const losslessOption = {
  flags: "--lossless",
  description:
    "the full model's tokens, sooner: repetitions draft, elsewhere a look-ahead head or exits, and the model verifies",
} as const;
const uncertifiedOption = {
  flags: "--allow-uncertified",
  description: "use a policy with sampling settings that its certificate is not for; nothing is promised then",
} as const;

export const exitOptions = [
  headsOption,
  policyOption,
  shippedOption,
  losslessOption,
  uncertifiedOption,
] as const satisfies readonly OptionDefinition[];

export const decodingOptions = [
  ...exitOptions,
  {
    ...maxNewTokensOption,
    defaultNote: "fewer if the context has less room",
  },
  ...samplingOptions,
  { ...seedOption, description: "seed of sampling" },
  { flags: "--stop <text...>", description: "stop before any of these strings" },
] as const satisfies readonly OptionDefinition[];

type DecodingSettings = ModelSettings & SettingsOf<typeof decodingOptions, "dir">;

/** Storage of the model, and settings of text by which a certificate of the package is found. */
type TextSettings = ModelSettings & Pick<DecodingSettings, "lossless" | "allowUncertified" | keyof SamplingSettings>;

export interface OpenShipped {
  readonly model: Model;
  readonly exits: ShippedExits;
  readonly heads: ExitHeads;
  readonly certificate: Certificate;
}

/** Dtype unless the user asks for another. */
const USUAL_DTYPE = "int8";

/** Milliseconds for measuring unit times: for drafts, or if there are policies with several fills. */
const PRICING_TIME = 300;

/** Drafts that pay on this machine, where a further row may take a tenth of the first or most of it. */
async function pricedDrafts(source: Model | ExitHeads): Promise<LosslessOptions> {
  return { costs: await measureUnitTimes(source, { rows: [1, 2, 4], time: PRICING_TIME }) };
}

/**
 * Of several certificates at a level, takes the one whose policy is the fastest on this machine. Throws a UsageError
 * that begins with the command's name if the package has no exits for the model, or none certified at this level for
 * text by these settings, unless nothing is to be promised.
 */
export async function openShipped(
  io: Io,
  command: string,
  name: string,
  agreement: number,
  settings: TextSettings = {},
): Promise<OpenShipped> {
  const first = await openModel(io, name, { dtype: USUAL_DTYPE, ...settings });
  const exits = await withProgress(io, "hash", () => findShippedExits(first));
  const sampling = samplingOf(settings);
  const fitting = (text: SamplingOptions) =>
    (exits === undefined ? [] : certificatesFor(exits, first.storedAs, text)).filter(
      (one) => one.agreement === agreement,
    );
  const promised = fitting(sampling);
  const unbound = settings.lossless === true || settings.allowUncertified === true;
  const chosen = promised.length === 0 && unbound ? fitting({}) : promised;
  if (exits === undefined || chosen.length === 0) {
    first.dispose();
    throw new UsageError(
      exits === undefined
        ? `${command}: no exits come with the package for ${name}; train and calibrate your own: ` +
            `early-exits train ${name} --self --out heads`
        : `${command}: ${exits.name} has no certificate at ${agreement} (${describeSampling(sampling)}); ` +
            `choose one of ${certifiedTexts(exits)}`,
    );
  }
  const [certified, ...others] = await unlessDamaged(exits.folder, () => chosen.map(checkCertificate));
  const model = await inItsStorage(first, certified!, name, settings, io);
  const heads = await unlessDamaged(exits.folder, () => readHeads(exits.heads, model));
  const certificate = await fastestCertificate([certified!, ...others], (fill) =>
    measureUnitTimes(heads, { fill, rows: [1, 4], time: PRICING_TIME }),
  );
  return { model, exits, heads, certificate };
}

/** The model if it is stored as the certificate says, else another in its place. */
async function inItsStorage(
  model: Model,
  { policy: { certified } }: Certificate,
  name: string,
  settings: ModelSettings,
  io: Io,
): Promise<Model> {
  const asked = settings.dtype !== undefined; // the user decides; a policy for another dtype is refused later
  if (asked || certified === undefined) return model;
  const storage = storageOf(certified.dtype);
  if (storage.dtype === model.dtype) return model;
  model.dispose();
  return openModel(io, name, { ...settings, ...storage }, model.device);
}
