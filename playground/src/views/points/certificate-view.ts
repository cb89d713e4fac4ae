/** The panel "What is certified?": the claim in words, what it rests on, what it does not promise, and a check. */
import type { Policy } from "early-exits";
import type { Verified } from "../../engine/index.js";
import { byId, element } from "../dom.js";
import { percent, threshold } from "../format.js";
import type { OpenCertificate } from "./open-certificate.js";

/** Statements that hold whatever the certificate says. */
const NOT_PROMISED = [
  "That a text is true, good or fit for any purpose: the full model is the measure, with all its faults.",
  "Anything about a single text: the claim is about documents on average.",
  "Text by other sampling settings than the certificate's.",
  "Texts of another kind than the calibration documents.",
];

interface CertificateShown {
  readonly policy: Policy;
  /** That of the operating point, if it has one that was read. */
  readonly certificate: OpenCertificate | undefined;
  /** The address of the certificate's file. */
  readonly url: string | undefined;
  /** Storage of the weights that run. */
  readonly storedAs: string;
}

export class CertificateView {
  readonly #dialog = byId("certificate", HTMLDialogElement);

  constructor() {
    byId("certificate-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", ({ target }) => {
      if (target === this.#dialog) this.#dialog.close(); // the backdrop
    });
  }

  open({ policy, certificate, url, storedAs }: CertificateShown): void {
    byId("certificate-body").replaceChildren(...body(policy, certificate, storedAs));
    byId("certificate-verdict").textContent = "";
    byId("certificate-check").hidden = url === undefined;
    const file = byId("certificate-file", HTMLAnchorElement);
    file.hidden = url === undefined;
    if (url !== undefined) file.href = url;
    this.#dialog.showModal();
  }

  showVerdict({ sentence, refuted }: Verified): void {
    const verdict = byId("certificate-verdict");
    verdict.textContent = sentence;
    verdict.className = refuted ? "uncalibrated" : "certified";
  }

  showChecking(): void {
    byId("certificate-verdict").textContent = "Checking …";
  }
}

function body(policy: Policy, certificate: OpenCertificate | undefined, storedAs: string): HTMLElement[] {
  const { certified } = policy;
  const thresholds = policy.exits
    .map(({ depth, threshold: limit }) => `${threshold(limit)} after block ${depth}`)
    .join(", ");
  const rule = `Tokens leave by the score ${policy.score} at the thresholds ${thresholds}, with fill “${policy.fill}”.`;
  if (certified === undefined) {
    return [
      element("p", {}, "Nothing: these thresholds have no certificate for what runs here."),
      element("p", {}, rule),
      ...list("What nobody promises", ["That any share of the tokens is the full model's.", ...NOT_PROMISED]),
    ];
  }
  const claim =
    certificate === undefined
      ? `The folder's certificate says that its policy keeps ${percent(certified.agreement, 0)} of the tokens. Its ` +
        "seal is whole; early-exits certificate verify checks the rest."
      : `${certificate.claim.charAt(0).toUpperCase()}${certificate.claim.slice(1)}.`;
  return [
    element("p", {}, element("strong", { class: "certified" }, claim)),
    element("p", {}, `${rule} It holds for weights stored as ${certified.dtype}; these are stored as ${storedAs}.`),
    ...(certificate === undefined
      ? []
      : list(`It rests on ${certificate.documents} documents, and on this`, certificate.assumptions)),
    ...list("What it does not promise", NOT_PROMISED),
  ];
}

function list(title: string, sentences: readonly string[]): HTMLElement[] {
  return [element("h3", {}, title), element("ul", {}, ...sentences.map((sentence) => element("li", {}, sentence)))];
}
