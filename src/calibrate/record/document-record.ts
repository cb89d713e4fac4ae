/**
 * What is recorded of one document, and its safetensors file: `stats.E`, `agrees.E` and, if heads have gates, `gates.E`
 * for every exit E. It takes 21 bytes per position and exit, 25 with a gate.
 */
import type { ExitOutputs } from "../../exits/heads/index.js";
import { ROW_STATS } from "../../tensor/index.js";
import { parseSafetensors, type SafetensorsInput, serializeSafetensors } from "../../tensor/formats/index.js";

/** One head's outputs at the T positions of a document. */
export interface ExitRecord extends ExitOutputs {
  /** [T] 1 if the head's argmax is the full model's. */
  readonly agrees: Uint8Array;
}

export interface DocumentRecord {
  /** SHA-256 of the document's token ids. */
  readonly hash: string;
  /** SHA-256 of its group's name; absent if no document has a group. */
  readonly group?: string;
  /** The smallest hash among its duplicates and near duplicates; absent if it has none. */
  readonly kin?: string;
  /** Documents that share passages have the same cluster. */
  readonly cluster?: string;
  /** T: positions, each of which predicts a next token. */
  readonly positions: number;
  /** One per exit, shallow to deep. */
  readonly exits: readonly ExitRecord[];
}

type Entry = [string, SafetensorsInput];

/** The file's bytes. */
export function serializeRecord({ positions, exits }: DocumentRecord): Uint8Array {
  return serializeSafetensors(
    exits.flatMap(({ stats, agrees, gates }, exit): Entry[] => {
      const entries: Entry[] = [
        [`stats.${exit}`, { dtype: "F32", shape: [positions, ROW_STATS.width], data: stats }],
        [`agrees.${exit}`, { dtype: "U8", shape: [positions], data: agrees }],
      ];
      if (gates !== undefined) entries.push([`gates.${exit}`, { dtype: "F32", shape: [positions], data: gates }]);
      return entries;
    }),
  );
}

/** The record in a file's bytes; the hash and the number of exits are in the file's name only. */
export function parseRecord(bytes: Uint8Array, hash: string, exits: number): DocumentRecord {
  const file = parseSafetensors(bytes);
  return {
    hash,
    positions: file.info("agrees.0").shape[0]!,
    exits: Array.from({ length: exits }, (_, exit) => ({
      stats: file.float32(`stats.${exit}`),
      agrees: file.bytes(`agrees.${exit}`),
      ...(file.names.includes(`gates.${exit}`) && { gates: file.float32(`gates.${exit}`) }),
    })),
  };
}
