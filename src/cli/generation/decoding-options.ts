/** Options of the commands that generate text: heads and policy, limits, sampling. */
import type { OptionDefinition } from "../command.js";
import type { ModelSettings } from "../open-model.js";
import { headsOption, integer, samplingOptions } from "../options.js";

export interface DecodingSettings extends ModelSettings {
  readonly dir: string;
  readonly heads?: string | undefined;
  readonly policy?: string | undefined;
  readonly lossless?: boolean | undefined;
  readonly maxNewTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly seed?: number | undefined;
}

export const decodingOptions: readonly OptionDefinition[] = [
  headsOption,
  {
    flags: "--policy <file>",
    description: "policy made by calibrate, which turns exits on; with --lossless, also a file written by tune",
  },
  {
    flags: "--lossless",
    description: "exits only draft and the full model verifies: exactly its tokens; needs --policy",
  },
  {
    flags: "--max-new-tokens <n>",
    description: "most tokens to generate",
    parse: integer(0),
    defaultNote: "fewer if the context has less room",
  },
  ...samplingOptions,
  { flags: "--seed <n>", description: "seed of sampling", parse: integer(0) },
  { flags: "--stop <text...>", description: "stop before any of these strings" },
];
