/**
 * heads.json: what heads are, beside their weights. It names the model by its hash. The version is the lowest that has
 * all that these heads use:
 *   2   projections, what a kind stores beside its inner size         3   gates, a dtype of the heads' own
 */
import { HeadsError } from "../../errors.js";
import { weightDtypes } from "../../tensor/index.js";
import type { ExitHead } from "./exit-head.js";
import type { HeadShape } from "./head-shape.js";
import { definitions, isHeadKind, isKindShape } from "./kinds/index.js";
import { type ProjectionInput, projectionInputs } from "./projection.js";

/** One head of heads.json. */
export interface HeadDescription extends HeadShape {
  readonly depth: number;
  /** What the learned keys and values are computed from, if there are any. */
  readonly projection?: ProjectionInput;
  /** Hidden size of the gate's MLP, if there is a gate. */
  readonly gate?: number;
}

/** The content of heads.json. */
export interface HeadsDescription {
  readonly format: "early-exits/heads";
  readonly version: 1 | 2 | 3;
  readonly modelHash: string;
  readonly heads: readonly HeadDescription[];
}

export function describeHeads(modelHash: string, heads: readonly ExitHead[]): HeadsDescription {
  const described = heads.map(({ depth, shape, projection, gate }) => ({
    depth,
    ...shape,
    ...(projection && { projection: projection.input }),
    ...(gate && { gate: gate.inner }),
  }));
  const version = Math.max(...described.map(versionOf)) as HeadsDescription["version"];
  return { format: "early-exits/heads", version, modelHash, heads: described };
}

function versionOf({ kind, dtype, gate, projection }: HeadDescription): HeadsDescription["version"] {
  if (dtype !== undefined || gate !== undefined) return 3;
  return definitions[kind].extra?.version ?? (projection === undefined ? 1 : 2);
}

/** Throws a HeadsError unless it is a description that this version of the library can read. */
export function checkDescription(json: unknown): HeadsDescription {
  const description = json as Partial<HeadsDescription> | null;
  if (typeof description !== "object" || description?.format !== "early-exits/heads") {
    throw new HeadsError(
      "heads-format",
      'exit heads: not a heads description; expected {"format": "early-exits/heads", …}',
    );
  }
  const { version, modelHash, heads } = description;
  if (version !== 1 && version !== 2 && version !== 3) {
    throw new HeadsError(
      "heads-version",
      `exit heads: version ${JSON.stringify(version)} is not supported, only 1 to 3; update the library`,
      { version },
    );
  }
  const legal =
    typeof modelHash === "string" && Array.isArray(heads) && heads.length > 0 && heads.every(isHeadDescription);
  if (!legal) {
    throw new HeadsError(
      "heads-format",
      "exit heads: the description lacks modelHash, or one of its heads lacks depth, kind or inner, or has a " +
        "projection, dtype or gate that does not exist",
    );
  }
  return description as HeadsDescription;
}

function isHeadDescription(json: unknown): boolean {
  const head = json as Partial<HeadDescription> | null;
  return (
    typeof head === "object" &&
    head !== null &&
    Number.isInteger(head.depth) &&
    isHeadKind(head.kind) &&
    isKindShape(head) &&
    (head.projection === undefined || projectionInputs.includes(head.projection)) &&
    (head.dtype === undefined || weightDtypes.includes(head.dtype)) &&
    (head.gate === undefined || (Number.isInteger(head.gate) && head.gate >= 1))
  );
}
