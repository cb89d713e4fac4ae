/** A command to torture. */

/** A command line and the environment that it needs. */
export interface ProcessLine {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A command, and the files that are its result. */
export interface Job {
  readonly name: string;
  /** Runs it as a new process would. Resolves to whether it succeeded, and what it said if not. */
  readonly run: (out: string, resume: boolean) => Promise<{ readonly ok: boolean; readonly said: string }>;
  readonly results: readonly string[];
  /** Reads what it wrote, if no manifest guards that. */
  readonly read?: (out: string) => Promise<unknown>;
  /** The command line, for a process of its own, if it has one. */
  readonly line?: (out: string) => ProcessLine;
  /** A folder that is there before. */
  readonly before?: string;
  /** True if `before` holds finished work of an earlier run, which this one replaces as a whole. */
  readonly replaces?: boolean;
  /** True if a finished run may be done again without --force. */
  readonly repeats?: boolean;
  /** Throws an Error if what is there, at any time, is mixed, or once it is finished, incomplete. */
  readonly check?: (out: string, finished: boolean) => Promise<void>;
}
