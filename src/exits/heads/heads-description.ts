/** heads.json describes heads, and names the model by its hash. */
import { HeadsError } from "../../errors.js";
import { weightDtypes } from "../../tensor/device.js";
import { headKinds, type HeadShape, type PreviewShape } from "./head-shape.js";
import { type ProjectionInput, projectionInputs } from "./projection.js";
import type { Taught } from "./taught.js";

export const headsVersion = 5;

export interface HeadDescription extends HeadShape {
  readonly depth: number;
  /** Input of the learned keys and values, if any. */
  readonly projection?: ProjectionInput;
}

/** The share of drafts with at least this margin, and less than the next one, that the full model accepts. */
export interface DraftConfidence {
  readonly margin: number;
  readonly acceptance: number;
}

export interface AheadDescription extends HeadDescription {
  /** Ascending by margin, on held-out text; absent if it was not measured. */
  readonly confidence?: readonly DraftConfidence[];
}

export interface HeadsDescription {
  readonly format: "early-exits/heads";
  readonly version: typeof headsVersion;
  readonly modelHash: string;
  readonly heads: readonly HeadDescription[];
  /** Drafts; absent if the heads have none. */
  readonly ahead?: AheadDescription;
  /** Absent if it is not known which text taught them. */
  readonly taught?: Taught;
}

/** Throws a HeadsError unless this version can read it. */
export function checkDescription(json: unknown): HeadsDescription {
  const description = json as Partial<HeadsDescription> | null;
  if (typeof description !== "object" || description?.format !== "early-exits/heads") {
    throw new HeadsError(
      "heads-format",
      'exit heads: not a heads description; expected {"format": "early-exits/heads", …}',
    );
  }
  const { version, modelHash, heads, taught, ahead } = description;
  if (version !== headsVersion) {
    const older = typeof version === "number" && version < headsVersion;
    throw new HeadsError(
      "heads-version",
      `exit heads: version ${JSON.stringify(version)} is not supported, only ${headsVersion}; ` +
        (older ? "run npx tsx scripts/convert.ts FOLDER in a clone of the repository" : "update the library"),
      { version },
    );
  }
  const legal =
    typeof modelHash === "string" &&
    Array.isArray(heads) &&
    (heads.length > 0 || ahead !== undefined) &&
    heads.every((head: HeadDescription) => isHeadDescription(head) && head.kind !== "ahead") &&
    (ahead === undefined || isAhead(ahead)) &&
    (taught === undefined || isTaught(taught));
  if (!legal) {
    throw new HeadsError(
      "heads-format",
      "exit heads: the description lacks modelHash, or one of its heads lacks depth or kind, or has a preview, " +
        "projection or dtype that does not exist; or what it says of the training text is no list of hashes",
    );
  }
  return description as HeadsDescription;
}

function isTaught(json: unknown): boolean {
  const { every, hashes } = (json ?? {}) as Partial<Taught>;
  return Number.isInteger(every) && every! > 0 && Array.isArray(hashes) && hashes.every(Number.isInteger);
}

function isHeadDescription(json: unknown): boolean {
  const head = json as Partial<HeadDescription> | null;
  return (
    typeof head === "object" &&
    head !== null &&
    Number.isInteger(head.depth) &&
    headKinds.includes(head.kind!) &&
    (head.preview === undefined || isPreview(head.preview)) &&
    (head.projection === undefined || projectionInputs.includes(head.projection)) &&
    (head.dtype === undefined || weightDtypes.includes(head.dtype))
  );
}

function isAhead(json: unknown): boolean {
  if (!isHeadDescription(json)) return false;
  const { kind, inputs, depth, preview, confidence } = json as AheadDescription;
  const isLevel = (level: Partial<DraftConfidence> | null): boolean =>
    Number.isFinite(level?.margin) && Number.isFinite(level?.acceptance);
  return (
    kind === "ahead" &&
    preview !== undefined &&
    Array.isArray(inputs) &&
    inputs.length > 0 &&
    inputs.every((input, i) => Number.isInteger(input) && input > (inputs[i - 1] ?? 0)) &&
    inputs.at(-1) === depth &&
    (confidence === undefined || (Array.isArray(confidence) && confidence.length > 0 && confidence.every(isLevel)))
  );
}

function isPreview(json: unknown): boolean {
  const preview = json as Partial<PreviewShape> | null;
  if (typeof preview !== "object" || preview === null) return false;
  const { rank, candidates, tokens, first } = preview;
  const counts = [rank, candidates, (first ?? preview).rank, (first ?? preview).candidates];
  return counts.every(Number.isInteger) && (tokens === undefined || Array.isArray(tokens));
}
