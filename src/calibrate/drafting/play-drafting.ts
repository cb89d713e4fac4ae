/**
 * What lossless decoding would do under given thresholds and draft lengths, from one recording. The text is the full
 * model's whatever is drafted, so every head's word at every position of it shows which drafts would be made, which of
 * them accepted, and which rows would run in which passes; unit costs price them. Exact but for one thing: after a
 * wrong draft, decoding goes on along a text that was not recorded, and the words at the same positions of the right
 * one stand in (what is drafted there is refused either way). Of sampled texts acceptance is a matter of chance
 * (sampled-drafts.ts), and so is what is played.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError } from "../../errors.js";
import { type Draft, type DraftLengthOptions, type DraftPlan, draftPlans } from "../../exits/draft/index.js";
import { generateBatch } from "../../exits/index.js";
import { confidenceAt, exitFires, type ExitHeads, scoreAt, type ScoreName } from "../../exits/heads/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { costOfRows, type UnitCosts } from "../../exits/cost/index.js";
import { checkSampling, encodePrompt, isPlainGreedy, type SamplingOptions } from "../../model/decode/index.js";
import { createRng } from "../../tensor/index.js";
import { type CalibrationRecords, createRecorder, type DocumentRecord, hashDocuments } from "../record/index.js";
import { sampledAgreement } from "./sampled-drafts.js";

/** The sampling options are those of the decoding that is to be tuned. @default greedy */
export interface RecordDraftingOptions extends SamplingOptions {
  /** Tokens written after every prompt. @default 64 */
  readonly maxNewTokens?: number;
  /** @default true */
  readonly stopAtEndOfText?: boolean;
  /** Of sampling. @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  /** Called after every text; a promise is waited for. */
  readonly onText?: (event: { readonly text: number; readonly texts: number }) => unknown;
}

/**
 * Texts of the full model, and what every head says about each of their tokens; `agrees` is whether a draft would have
 * been accepted.
 */
export interface DraftingRecords extends CalibrationRecords {
  /** Per document, the position whose next token is the first new one. */
  readonly starts: readonly number[];
}

/**
 * Writes a text after every prompt, greedily unless told to sample, and records the heads' words. Throws an OptionError
 * where no text has two new tokens.
 */
export async function recordDrafting(
  heads: ExitHeads,
  prompts: readonly (string | readonly number[])[],
  { maxNewTokens = 64, stopAtEndOfText = true, seed = 0, signal, onText, ...given }: RecordDraftingOptions = {},
): Promise<DraftingRecords> {
  const { model } = heads;
  const sampling = checkSampling(given);
  const rng = createRng(seed).fork("accepted drafts"); // not the numbers that draw the texts
  const promptIds = prompts.map((prompt) => encodePrompt(model, prompt, {}));
  const { maxPositionEmbeddings: limit } = model.config;
  const recorder = await createRecorder(heads, { sequenceLength: limit });
  const documents: DocumentRecord[] = [];
  const starts: number[] = [];
  for (const [index, prompt] of promptIds.entries()) {
    signal?.throwIfAborted();
    const run = generateBatch(model, [prompt], {
      maxNewTokens: Math.min(maxNewTokens, limit - prompt.length + 1),
      stopAtEndOfText,
      ...sampling,
      seed: seed + index,
    });
    const written: number[] = [];
    for await (const { id } of run) written.push(id);
    if (written.length >= 2) {
      // a single token leaves nothing to draft
      const ids = [...prompt, ...written];
      const start = prompt.length - 1;
      const [text] = await hashDocuments(heads, [ids.slice(0, -1)]); // nothing is asked after the last token
      documents.push(
        await recorder.document(
          text!,
          isPlainGreedy(sampling) ? undefined : sampledAgreement(ids, start, sampling, rng),
        ),
      );
      starts.push(start);
    }
    await onText?.({ text: index + 1, texts: prompts.length });
  }
  if (documents.length === 0) {
    throw new OptionError(
      "prompt-empty",
      "recordDrafting: no text of two new tokens came of the prompts; give others, or a larger maxNewTokens",
      { prompts: prompts.length, maxNewTokens },
    );
  }
  return { ...recorder.subject, sequenceLength: recorder.sequenceLength, documents, starts };
}

/** What lossless decoding would do. */
export interface DraftingOutcome {
  readonly tokens: number;
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
  /** Of all tokens, in the unit of the costs; and of plain decoding. */
  readonly cost: number;
  readonly plainCost: number;
}

export interface PlayDraftingOptions extends Omit<DraftLengthOptions, "costs"> {
  readonly costs: UnitCosts;
}

/**
 * Plays lossless decoding of the recorded texts, one after another. Throws an OptionError where an option is out of
 * range.
 */
export function playDrafting(
  records: DraftingRecords,
  policy: Pick<Policy, "score" | "exits">,
  options: PlayDraftingOptions,
): DraftingOutcome {
  return playPlans(records, draftsOf(records, policy.score), policy, options);
}

type RecordedDraft = Draft & { readonly score: number };

/** Per document, exit and position: the draft that its head would make there. */
export type RecordedDrafts = readonly (readonly (readonly RecordedDraft[])[])[];

export function draftsOf({ documents, depths }: DraftingRecords, name: ScoreName): RecordedDrafts {
  return documents.map(({ positions, exits }) =>
    exits.map((words, exit) =>
      Array.from({ length: positions }, (_, s): RecordedDraft => {
        const confidence = confidenceAt(words.stats, s);
        return { id: confidence.argmax, depth: depths[exit]!, exit, score: scoreAt(words, s, name), confidence };
      }),
    ),
  );
}

/** `playDrafting` with the drafts made before, by the policy's score: for those who play many policies. */
export function playPlans(
  { documents, starts, depths, numLayers }: DraftingRecords,
  drafts: RecordedDrafts,
  { score, exits }: Pick<Policy, "score" | "exits">,
  { costs, ...length }: PlayDraftingOptions,
): DraftingOutcome {
  const used = (cost: number, exit: number): number => (exits[exit]!.threshold === "never" ? 0 : cost);
  const gates = score === "gate" ? costs.gates : undefined;
  const createPlan = draftPlans(
    numLayers,
    { ...costs, heads: costs.heads.map(used), gates: gates?.map(used) },
    length,
    depths,
  );
  const totals = { tokens: 0, rounds: 0, drafted: 0, accepted: 0, cost: 0 };
  for (const [d, document] of documents.entries()) {
    const asked = exits.flatMap(({ depth, threshold }, exit) => {
      if (threshold === "never" || depth >= numLayers) return [];
      const all = drafts[d]![exit]!;
      const head = costs.heads[exit]!;
      const price = gates === undefined ? { cost: head, draftCost: 0 } : { cost: gates[exit]!, draftCost: head };
      return [
        {
          depth,
          ...price,
          draft: (s: number) => (exitFires(all[s]!.score, threshold, score) ? all[s] : undefined),
          agrees: document.exits[exit]!.agrees,
        },
      ];
    });
    playText({ start: starts[d]!, end: document.positions, numLayers, costs, used: asked, plan: createPlan() }, totals);
  }
  return {
    ...totals,
    plainCost: totals.tokens * (numLayers * costOfRows(costs.block, 1) + costOfRows(costs.finalHead, 1)),
  };
}

interface UsedExit {
  readonly depth: number;
  /** Of asking it: its gate where gates decide, or else its head. */
  readonly cost: number;
  /** Of a draft besides: the head where gates decide. */
  readonly draftCost: number;
  /** The draft after position s, where the exit fires. */
  readonly draft: (s: number) => Draft | undefined;
  readonly agrees: Uint8Array;
}

interface PlayedText {
  readonly start: number;
  /** Positions; the token after the last one is the last. */
  readonly end: number;
  readonly numLayers: number;
  readonly costs: UnitCosts;
  readonly used: readonly UsedExit[];
  readonly plan: DraftPlan;
}

/** The rounds of one text, as exits/speculate.ts runs them. */
function playText(
  { start, end, numLayers, costs, used, plan }: PlayedText,
  totals: { tokens: number; rounds: number; drafted: number; accepted: number; cost: number },
): void {
  let cost = 0;
  /** Brings all positions of the round to a depth; `reached` holds the blocks each has run. */
  const advance = (reached: number[], depth: number): void => {
    for (let layer = Math.min(...reached); layer < depth; layer++) {
      let rows = 0;
      for (const blocks of reached) {
        if (blocks <= layer) rows++;
      }
      cost += costOfRows(costs.block, rows);
    }
    for (let i = 0; i < reached.length; i++) reached[i] = Math.max(reached[i]!, depth);
  };
  for (let t = start; t < end;) {
    const drafts: Draft[] = [];
    const right: boolean[] = [];
    const reached = [0];
    const room = end - t;
    while (drafts.length < room - 1 && plan.more(drafts)) {
      const s = t + drafts.length;
      let [made, agreed]: [Draft | undefined, boolean] = [undefined, false];
      for (const { depth, cost: asking, draftCost, draft, agrees } of used) {
        advance(reached, depth);
        cost += asking;
        made = draft(s);
        if (made === undefined) continue;
        cost += draftCost;
        agreed = agrees[s] === 1;
        break;
      }
      if (made === undefined || !plan.keeps(drafts, made)) break;
      drafts.push(made);
      right.push(agreed);
      reached.push(0);
    }
    advance(reached, numLayers);
    cost += costOfRows(costs.finalHead, reached.length);
    const wrong = right.indexOf(false);
    const accepted = wrong < 0 ? drafts.length : wrong;
    plan.learn(drafts, accepted);
    t += accepted + 1;
    totals.rounds++;
    totals.drafted += drafts.length;
    totals.accepted += accepted;
    totals.tokens += accepted + 1;
  }
  totals.cost += cost;
}
