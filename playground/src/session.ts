/** Shared by all actions: the worker, the model that is open, the policy in use, and what runs at the moment. */
import type { Policy } from "early-exits";
import type { FileMap } from "early-exits/browser";
import { LibraryClient, LibraryError, type Mode, type Opened, type WriteOptions } from "./engine/index.js";
import { type Activity, type DepthScale, type PointsView, showActivity, writeOptions } from "./views/index.js";

/** The URL of the embedded model's folder. */
export const EMBEDDED = new URL("./model/", document.baseURI).href;
/** The URL of the list of exits that come with the page for other models. */
export const EXITS = new URL("./exits/index.json", document.baseURI).href;

export class Session {
  readonly client = new LibraryClient();
  readonly points: PointsView;
  opened: Opened | undefined;
  source: string | FileMap = EMBEDDED;
  #running: AbortController | undefined;
  #activity: Activity | undefined;

  constructor(points: PointsView) {
    this.points = points;
  }

  /** Cancels what runs. What begins can be cancelled by the controller. */
  begin(activity: Activity): AbortController {
    this.#running?.abort();
    this.#running = new AbortController();
    this.#show(activity);
    return this.#running;
  }

  /** Ends an activity; false if another one has begun since. */
  end(controller: AbortController): boolean {
    const isLast = this.#running === controller;
    if (isLast) this.#show(undefined);
    return isLast;
  }

  #show(activity: Activity | undefined): void {
    this.#activity = activity;
    showActivity(activity, { loaded: this.opened !== undefined });
  }

  /** The model that can write; undefined while another one is opened. */
  get ready(): Opened | undefined {
    return this.#activity === "open" ? undefined : this.opened;
  }

  stop(): void {
    this.#running?.abort();
  }

  get settings(): WriteOptions {
    return writeOptions(this.policy, this.points.topP);
  }

  /**
   * The policy of the chosen operating point, or the one in the model's folder. A certificate that was not opened, or
   * is for weights that are stored in another way, does not apply, so it is left out.
   */
  get policy(): Policy | undefined {
    const { current, isCertified } = this.points;
    const policy = current?.policy ?? this.opened?.policy;
    const applies = current === undefined ? policy?.certified?.dtype === this.opened?.storedAs : isCertified;
    if (policy?.certified === undefined || applies) return policy;
    const copy: { -readonly [Key in keyof Policy]: Policy[Key] } = { ...policy };
    delete copy.certified;
    return copy;
  }

  /** The depths at which a mode lets tokens leave. */
  scaleOf(mode: Mode): DepthScale {
    const { numLayers = 1, depths = [] } = this.opened ?? {};
    return { numLayers, depths: mode === "plain" ? [] : depths };
  }
}

export function isCancelled(error: unknown): boolean {
  return error instanceof LibraryError && error.failure.code === "cancelled";
}
