/** Options of the commands that generate text: heads and policy, limits, sampling. */
import type { OptionDefinition } from "../command.js";
import type { ModelSettings } from "../open-model.js";
import {
  headsOption,
  integer,
  maxNewTokensOption,
  number,
  policyOption,
  samplingOptions,
  type SamplingSettings,
  seedOption,
} from "../options.js";

export interface DecodingSettings extends ModelSettings, SamplingSettings {
  readonly dir: string;
  readonly heads?: string | undefined;
  readonly policy?: string | undefined;
  /** Level of the package's exits for this model, in place of heads and policy. */
  readonly shipped?: number | undefined;
  readonly lossless?: boolean | undefined;
  readonly maxNewTokens?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly seed?: number | undefined;
  readonly allowUncertified?: boolean | undefined;
}

const shippedOption: OptionDefinition = {
  flags: "--shipped <agreement>",
  description: "in place of --heads and --policy: the exits that come with the package for this model, at this level",
  parse: number(0, 1, { open: true }),
};
const losslessOption: OptionDefinition = {
  flags: "--lossless",
  description: "exits only draft and the full model verifies: exactly its tokens; needs --policy",
};
const uncertifiedOption: OptionDefinition = {
  flags: "--allow-uncertified",
  description: "use a policy with sampling settings that its certificate is not for; nothing is promised then",
};

export const exitOptions: readonly OptionDefinition[] = [
  headsOption,
  policyOption,
  shippedOption,
  losslessOption,
  uncertifiedOption,
];

export interface AuditSettings {
  /** The certificate's reference model reads one of so many texts. */
  readonly audit?: number | undefined;
}

export const auditOption: OptionDefinition = {
  flags: "--audit <k>",
  description: "one of k texts is read by the certificate's reference model, too; an alarm turns exits off",
  parse: integer(1),
};

export const decodingOptions: readonly OptionDefinition[] = [
  headsOption,
  policyOption,
  shippedOption,
  losslessOption,
  {
    ...maxNewTokensOption,
    defaultNote: "fewer if the context has less room",
  },
  ...samplingOptions,
  { ...seedOption, description: "seed of sampling" },
  uncertifiedOption,
  { flags: "--stop <text...>", description: "stop before any of these strings" },
];
