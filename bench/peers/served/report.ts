/** The tables of `npm run bench:served`: what each way of serving the model reaches, and ratios of ways by round. */
import type { Machine } from "../../../lab/report/machine.js";
import { prose } from "../../../lab/report/prose.js";
import type { Report, Table } from "../../../lab/report/report.js";
import { withRange } from "../../../lab/report/format.js";
import type { ClientRates } from "../../../lab/read-together.js";
import { labelOf, type Way } from "../llm/protocol.js";
import { failureTable } from "../llm/report.js";
import { spreadOf } from "../statistics.js";
import { ANSWER, CLIENTS, PROMPT } from "./protocol.js";

/** One way, with the rates by CLIENTS for each round, or why there are none. */
export interface Served {
  readonly way: Way;
  readonly rounds: readonly (readonly ClientRates[])[];
  readonly failure: string | undefined;
}

interface Run {
  readonly where: Machine;
  readonly model: string;
  readonly served: readonly Served[];
}

/** Our weight types, each with what llama.cpp runs beside it: a type that holds as many bits, or the file as it is. */
export const PEERS = { int8: "q8_0", stored: "the file" } as const;
export type OurType = keyof typeof PEERS;
const kinds = ["writing", "whole"] as const satisfies readonly (keyof ClientRates)[];

export function servedReport({ where, model, served }: Run): Report & { readonly data: object } {
  const failed = served.filter(({ failure }) => failure !== undefined);
  return {
    name: "served",
    title: `${model}: clients of this library's batcher and of llama.cpp's sequences`,
    machine: where,
    data: { model, served },
    tables: [rateTable(served), ratioTable(served), ...(failed.length === 0 ? [] : [failureTable(failed)])],
  };
}

const clientsOf = (count: number): string => `${count} ${count === 1 ? "client" : "clients"}`;
const headings = CLIENTS.flatMap((count) => [`${clientsOf(count)}, writing`, `${clientsOf(count)}, whole`]);

function rateTable(served: readonly Served[]): Table {
  return {
    title: "Tokens per second",
    note: prose`
      Of all clients together: medians over ${Math.max(...served.map(({ rounds }) => rounds.length))} rounds, lowest to
      highest round. Every way has a process of its own in every round. Each client gives a prompt of ${PROMPT} random
      tokens and gets a greedy answer of ${ANSWER}. "Writing" counts the tokens after every client has its first one;
      "whole" counts all, from the requests on. llama.cpp runs by node-llama-cpp with one sequence for each client,
      batched as it does by itself.`,
    columns: ["runtime", ...headings],
    rows: served
      .filter(({ rounds }) => rounds.length > 0)
      .map(({ way, rounds }) => [
        labelOf(way),
        ...CLIENTS.flatMap((_, c) =>
          kinds.map((kind) => {
            const { median, min, max } = spreadOf(rounds.map((rates) => rates[c]![kind]));
            return `${median.toFixed(0)} (${min.toFixed(0)} to ${max.toFixed(0)})`;
          }),
        ),
      ]),
  };
}

function ratioTable(served: readonly Served[]): Table {
  const rows = served
    .filter(({ way }) => way.runtime === "ours")
    .flatMap((ours) => {
      const peer = PEERS[ours.way.type as OurType];
      const peers = served.filter(({ way, rounds }) => way.type === peer && rounds.length > 0);
      const same = peers.filter(({ way }) => way.threads === ours.way.threads);
      const name = `${ours.way.type} / ${peer}, ${ours.way.threads} t`;
      return [
        ...(same.length === 0 ? [] : [[`${name}, with as many threads`, ...ratios(ours, same)]]),
        ...(peers.length === 0 ? [] : [[`${name}, with its best number of threads`, ...ratios(ours, peers)]]),
      ];
    });
  return {
    title: "Ours over llama.cpp",
    note: prose`
      Ratios of rates in the same round: median (lowest to highest round). llama.cpp is slow where it has as many
      threads as there are cores, so its best number of threads, by column and round, is beside the same number.`,
    columns: ["pair", ...headings],
    rows,
  };
}

/** Our rates over the best of the peers', by column. */
function ratios(ours: Served, peers: readonly Served[]): string[] {
  const count = Math.min(ours.rounds.length, ...peers.map(({ rounds }) => rounds.length));
  return CLIENTS.flatMap((_, c) =>
    kinds.map((kind) => {
      const byRound = Array.from(
        { length: count },
        (_, round) => ours.rounds[round]![c]![kind] / Math.max(...peers.map(({ rounds }) => rounds[round]![c]![kind])),
      );
      const { median, min, max } = spreadOf(byRound);
      return count === 0 ? "" : withRange({ median, low: min, high: max });
    }),
  );
}
