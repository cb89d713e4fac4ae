/**
 * A decoder under audit: it passes requests on, watches what the texts under audit are drawn from, and has the
 * reference judge them. The store of sequences says where texts begin and end.
 */
import { PolicyError } from "../../errors.js";
import type { Model, Sequence } from "../../model/index.js";
import { canonicalSampling, type Decoder, type SamplingOptions, type SequenceStore } from "../../model/decode/index.js";
import type { DecodeObserver } from "../decode/index.js";
import type { Policy, Reference } from "../plan/index.js";
import type { Audit, AuditTicket } from "./audit.js";
import { AuditedText } from "./audited-text.js";

export interface AuditedCall {
  readonly audit: Audit;
  /** The model that runs. */
  readonly model: Model;
  readonly policy: Policy;
  readonly sampling: SamplingOptions;
  /** One for each prompt. */
  readonly users: readonly (string | undefined)[];
}

/** What takes the place of decoder and store. */
export interface AuditedDecoder {
  readonly decoder: Decoder;
  readonly sequences: SequenceStore;
  /** Judges what is left, after the last token. */
  readonly finish: () => Promise<void>;
  /** Leaves out all texts that are not judged to the end. */
  readonly cancel: () => void;
}

interface Audited {
  readonly text: AuditedText;
  readonly ticket: AuditTicket;
}

/** Puts a decoder and the store of its sequences under audit. Throws a PolicyError if the reference is missing. */
export function auditedDecoder(decoder: Decoder, sequences: SequenceStore, call: AuditedCall): AuditedDecoder {
  const { audit, model, policy, users } = call;
  const reference = referenceFor(audit, model, policy);
  const sampling = canonicalSampling(call.sampling);
  const tickets = audit.begin(users);
  const open = new Map<Sequence, Audited>();
  const ended: Audited[] = [];
  const unused = new Set(tickets.filter((ticket) => ticket !== undefined));

  const settle = async (): Promise<void> => {
    for (let next = ended.shift(); next !== undefined; next = ended.shift()) {
      const { text, ticket } = next;
      try {
        await text.judge();
      } finally {
        text.dispose();
      }
      unused.delete(ticket);
      ticket.finish(text.loss, text.tokens); // it was opened, so it has a token
    }
  };
  const cancel = (): void => {
    for (const { text } of open.values()) text.dispose();
    for (const ticket of unused) ticket.drop();
    unused.clear();
    open.clear();
  };

  return {
    decoder: {
      meter: decoder.meter,
      sides: decoder.sides,
      async prepare() {
        await decoder.prepare?.();
        await requireReference(reference, policy.certified?.reference);
      },
      async next(requests) {
        await settle();
        const rounds = await decoder.next(
          requests.map((request) => {
            const audited = open.get(request.sequence);
            return audited === undefined ? request : { ...request, sampler: audited.text.watch(request.sampler) };
          }),
        );
        for (const [i, { sequence }] of requests.entries()) {
          for (const { id } of rounds[i]!.tokens) await open.get(sequence)?.text.add(id);
        }
        return rounds;
      },
    },
    sequences: {
      async open(of, text) {
        const sequence = await sequences.open(of, text);
        const ticket = tickets[text.index];
        if (ticket !== undefined) {
          open.set(sequence, { ticket, text: new AuditedText(reference, text.promptIds, sampling) });
        }
        return sequence;
      },
      close(sequence) {
        sequences.close(sequence);
        const audited = open.get(sequence);
        if (audited !== undefined) ended.push(audited);
        open.delete(sequence);
      },
    },
    async finish() {
      await settle();
      cancel();
    },
    cancel() {
      for (const { text } of ended.splice(0)) text.dispose();
      cancel();
    },
  };
}

/** An observer that turns exits off once the audit says so, and passes everything on to another. */
export function auditingObserver(audit: Audit, policy: Policy, observer: DecodeObserver | undefined): DecodeObserver {
  const never = policy.exits.map(() => "never" as const);
  return {
    observe: (event) => observer?.observe(event),
    thresholds: () => (audit.exitsOff ? never : observer?.thresholds?.()),
  };
}

/**
 * The model that judges. Throws a PolicyError if the certificate's is another than the one that runs, and not given.
 */
export function referenceFor({ reference }: Audit, model: Model, { certified }: Policy): Model {
  if (reference !== undefined) return reference;
  if (certified === undefined || certified.reference.kind === "same") return model;
  throw new PolicyError(
    "audit-reference",
    `audit: the policy is certified against a ${certified.reference.dtype} model, and the one that runs is ` +
      `${model.dtype}; load the model as ${certified.reference.dtype} too, and pass it: ` +
      "audit: new Audit({ reference, … })",
    { reference: certified.reference },
  );
}

/** Throws a PolicyError if the model is not the certificate's reference. */
export async function requireReference(model: Model, certified: Reference | undefined): Promise<void> {
  if (certified === undefined) return;
  const { dtype } = model;
  const checkpoint = await model.hash();
  if (dtype === certified.dtype && checkpoint === certified.checkpoint) return;
  const found = checkpoint === certified.checkpoint ? `stored as ${dtype}` : "another checkpoint";
  throw new PolicyError(
    "audit-reference",
    `audit: the policy is certified against checkpoint ${certified.checkpoint.slice(0, 12)}… as ${certified.dtype}, ` +
      `but the reference is ${found}; pass that model as the reference`,
    { certified, found: { dtype, checkpoint } },
  );
}
