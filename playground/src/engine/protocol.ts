/** The messages between the page and its worker: requests with an id, answered by events and one result or error. */
import type { Policy, ScoreName, WeightDtype } from "early-exits";
import type { LoadProgress } from "early-exits/model";
import type { Counts, FillName, Threshold } from "early-exits/exits";
import type { DeviceName, FileMap } from "early-exits/browser";
import type { OperatingPoints } from "./operating-points.js";

export interface DeviceWish {
  readonly name: DeviceName;
  /** Absent for what the library chooses. */
  readonly threads?: number;
}

export interface OpenRequest {
  readonly type: "open";
  readonly wish: DeviceWish;
  /** The URL of a folder or a GGUF file, a name of the Hub after "hub:", or files that were dropped or picked. */
  readonly source: string | FileMap;
  /** Storage of the weights; undefined for that of the certificates beside the model, else the library's. */
  readonly dtype: WeightDtype | undefined;
  /** The URL of the list of exits for models that have none beside them. */
  readonly exits: string;
}

export interface Opened {
  /** Name of what really runs. */
  readonly device: string;
  readonly modelType: string;
  readonly numLayers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly parameters: number;
  readonly context: number;
  /** Blocks, from the first, that make keys and values of their own; the others share those of the last one. */
  readonly keyValueLayers: number;
  /** Storage of the weights; a certificate is for one way. */
  readonly storedAs: string;
  /** Depths of the exit heads; empty if the folder has none. */
  readonly depths: readonly number[];
  readonly points: OperatingPoints | undefined;
  /** The URL of the folder that the points come from, and their certificates. */
  readonly pointsFrom: string | undefined;
  /** True if the exits come with the page, not with the model. */
  readonly shipped: boolean;
  /** The folder's policy.json, if it has one. */
  readonly policy: Policy | undefined;
  /** True if it came with a chat template. */
  readonly canChat: boolean;
}

/** plain: every block for every token. exits: leave early. lossless: exits and repetitions draft. */
export type Mode = "plain" | "exits" | "lossless";
export const modes = ["plain", "exits", "lossless"] as const satisfies readonly Mode[];

export interface DecodingOptions {
  readonly policy: Policy | undefined;
  /** 0 decodes greedily. */
  readonly temperature: number;
  /** Top-p of the certificate for this temperature; 1 if there is none. */
  readonly topP: number;
  readonly seed: number;
}

export interface WriteOptions extends DecodingOptions {
  readonly prompt: string;
  readonly maxNewTokens: number;
}

export interface WriteRequest extends WriteOptions {
  readonly type: "write";
  readonly mode: Mode;
  /** Milliseconds to wait after every token, so that people can watch. */
  readonly pause: number;
}

export interface CompareRequest extends WriteOptions {
  readonly type: "compare";
  readonly modes: readonly Mode[];
  readonly rounds: number;
}

/** Writes in several modes side by side. */
export interface RaceRequest extends WriteOptions {
  readonly type: "race";
  readonly modes: readonly Mode[];
}

/** Checks a certificate against itself, the model and the heads. */
export interface VerifyRequest {
  readonly type: "verify";
  /** The address of its file. */
  readonly url: string;
}

/** The next message of the conversation, answered by tokens. */
export interface ChatRequest extends DecodingOptions {
  readonly type: "chat";
  readonly mode: Mode;
  readonly message: string;
}

/** "lens": the first guesses after every block at the tokens of the last text. "clearChat": forget the conversation. */
export interface ShortRequest {
  readonly type: "lens" | "clearChat";
}

export type Request =
  OpenRequest | WriteRequest | CompareRequest | RaceRequest | VerifyRequest | ChatRequest | ShortRequest;

export interface TokenEvent {
  readonly text: string;
  readonly depth: number;
  readonly exit: number | undefined;
}

/** A token of a race. */
export interface RaceStep {
  /** Milliseconds on the lane's clock. */
  readonly at: number;
  readonly token: TokenEvent;
}

/** Prediction of a head at a token's position. */
interface ExitPrediction {
  readonly depth: number;
  readonly text: string;
  /** The policy's score, and the threshold that it is compared with. */
  readonly score: number;
  readonly threshold: Threshold;
  readonly fires: boolean;
  readonly agrees: boolean;
}

/** A first guess at a token's position. */
export interface Guess {
  readonly text: string;
  /** Its probability; of a head with a preview, which knows no others, that against the second guess. */
  readonly confidence: number;
}

/** Predictions of every head and the full model at a token's position, given the text before it. */
export interface Prediction {
  readonly exits: readonly ExitPrediction[];
  readonly full: Guess;
  /** True if the token in the text is the full model's. */
  readonly agrees: boolean;
}

/** The guesses after a block, one for each token of the text: by the logit lens, and by the exit head if it has one. */
export interface LensRow {
  readonly depth: number;
  readonly lens: readonly Guess[];
  readonly head: readonly Guess[] | undefined;
}

/** One round of lossless decoding. */
export interface RoundSummary {
  readonly drafted: number;
  readonly accepted: number;
  /** False if a repetition was drafted, or nothing. */
  readonly byExits: boolean;
}

export interface Written {
  readonly newTokens: number;
  readonly meanDepth: number;
  readonly depthCounts: readonly number[];
  readonly decode: Readonly<Counts>;
  readonly plain: Readonly<Counts>;
  readonly score: ScoreName | undefined;
  /** Supply of the keys and values of skipped blocks. */
  readonly fill: FillName;
  readonly predictions: readonly Prediction[];
  /** Empty unless lossless. */
  readonly rounds: readonly RoundSummary[];
}

/** A complete answer. */
export interface Answer {
  readonly newTokens: number;
  readonly promptTokens: number;
  /** Tokens of the prompt whose keys and values were in the cache. */
  readonly reusedTokens: number;
  readonly meanDepth: number;
  readonly tokensPerSecond: number;
}

export interface Timing {
  readonly mode: Mode;
  /** Tokens per second, in the order of the rounds, which ran all modes in turn. */
  readonly speeds: readonly number[];
  /** The text, by tokens. */
  readonly tokens: readonly string[];
  readonly decode: Readonly<Counts>;
  readonly meanDepth: number;
}

/** A lane of a race, from its first token to its last. */
export interface LaneResult {
  readonly mode: Mode;
  readonly text: string;
  /** In the order of the clock, from 0 at the first token. */
  readonly steps: readonly RaceStep[];
}

export interface Verified {
  readonly refuted: boolean;
  /** The verdict, with what it rests on. */
  readonly sentence: string;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
}

export interface Results {
  readonly open: Opened;
  readonly write: Written;
  readonly lens: null;
  readonly compare: readonly Timing[];
  readonly race: readonly LaneResult[];
  readonly verify: Verified;
  readonly chat: Answer;
  readonly clearChat: null;
}

/** News while a request runs. */
export interface Events {
  readonly open: LoadProgress;
  readonly write: TokenEvent;
  readonly lens: LensRow;
  readonly chat: TokenEvent;
}

export type EventOf<T> = T extends keyof Events ? Events[T] : never;

export type ToWorker =
  { readonly id: number; readonly request: Request } | { readonly id: number; readonly cancel: true };

export type FromWorker =
  | { readonly id: number; readonly event: Events[keyof Events] }
  | { readonly id: number; readonly result: Results[keyof Results] }
  | { readonly id: number; readonly failure: Failure };
