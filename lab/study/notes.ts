/** The paragraphs above the study's tables. */
import { prose } from "../report/prose.js";

interface BackboneFacts {
  /** The model that the others are compared with. */
  readonly first: string;
  /** Windows of 256 tokens in the validation speeches. */
  readonly windows: number;
  readonly headSteps: number;
  readonly runs: number;
  readonly tokens: number;
}

export const backboneNote = ({ first, windows, headSteps, runs, tokens }: BackboneFacts): string => prose`
  Trained by \`npm run pretrain\` on the same speeches and tokens with the same schedule. Losses are in nats per token,
  over all validation and test speeches (${windows} windows of 256 tokens in the former; the difference to ${first} is
  given with its standard error over windows); the training loss is the one that the training run reported. Dense int8
  heads after a quarter, half and three quarters of the blocks, ${headSteps} steps; agreement on test segments. Plain
  decoding: greedy, one thread, float32, medians of ${runs} runs of ${tokens} tokens, the models in turn. The plain
  model with half the blocks is the alternative to exits: it guarantees nothing about the large model's tokens, but its
  speed has no other cost.`;

interface LevelFacts {
  readonly first: string;
  readonly delta: number;
  /** Calibration segments. */
  readonly documents: number;
  readonly runs: number;
  readonly tokens: number;
}

export const levelNote = ({ first, delta, documents, runs, tokens }: LevelFacts): string => prose`
  Overall agreement per document, delta ${delta}, certified end to end on ${documents} calibration segments. The keys
  and values of skipped blocks are shared if the model shares them, and made later otherwise (lazy). The share of tokens
  that leave early, depth and agreement are from test segments; the other columns are from ${runs} greedy runs of
  ${tokens} tokens after test prompts. The speed-up is over the same model's plain decoding, one thread, float32: the
  ratio of medians, with the quartiles of the ratios run by run; the last column is relative to ${first}'s plain
  decoding.`;

export const losslessNote = prose`
  Exits draft by the policy of the lowest certified level; the outputs were compared with those of plain decoding.`;

interface DetailFacts {
  readonly model: string;
  readonly delta: number;
}

const detailNote = ({ model, delta }: DetailFacts): string => prose`
  ${model}, certified overall agreement per document, delta ${delta}. Shares, depth and agreement are from test
  segments; "predicted" is the speed-up at unit times measured on these heads.`;

export const scoresNote = (facts: DetailFacts & { readonly depths: readonly [number, number] }): string => prose`
  ${detailNote(facts)} Dense int8 heads after blocks ${facts.depths[0]} and ${facts.depths[1]}.`;

export const kindsNote = (facts: DetailFacts): string => prose`
  ${detailNote(facts)} Unless the row says otherwise, heads are taught at temperature 0.5 and stored in int8; each row
  uses its best score.`;

export const placementsNote = (facts: DetailFacts): string => prose`
  ${detailNote(facts)} Dense int8 heads, the best score of each.`;
