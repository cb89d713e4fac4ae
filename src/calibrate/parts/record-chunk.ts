/**
 * Records of several documents in one file: a safetensors file that holds the file of each (document-record.ts) under
 * its number, and in its metadata what each document counts as.
 */
import { parseSafetensors } from "../../tensor/formats/safetensors.js";
import { type SafetensorsInput, serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";
import { type Counted, countedAs, type DocumentRecord, parseRecord, serializeRecord } from "../record/index.js";

/** The file's bytes. */
export function serializeRecords(records: readonly DocumentRecord[]): Uint8Array {
  const files = records.map((record, d): [string, SafetensorsInput] => {
    const data = serializeRecord(record);
    return [String(d), { dtype: "U8", shape: [data.length], data }];
  });
  return serializeSafetensors(files, { documents: JSON.stringify(records.map(countedAs)) });
}

/** The records in a file's bytes, with so many exits each. */
export function parseRecords(bytes: Uint8Array, exits: number): DocumentRecord[] {
  const file = parseSafetensors(bytes);
  const documents = JSON.parse(file.metadata["documents"] ?? "[]") as Counted[];
  return documents.map((document, d) => ({
    ...parseRecord(file.bytes(String(d)).slice(), document.hash, exits),
    ...document,
  }));
}
