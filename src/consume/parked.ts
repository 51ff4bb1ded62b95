import type { Reference } from "../read/reference.ts";

/** What a parked message says. */
export interface Parked {
  /** The message that was put aside. */
  readonly message: {
    readonly id: string;
    readonly type: string;
    readonly streamName: string;
    readonly position: number;
    readonly globalPosition: number;
  };
  /** Where an aggregate has it, of a consumer of one. */
  readonly reference?: Reference | undefined;
  /** What its handler threw; null where it answered so. */
  readonly error: { readonly name: string; readonly message: string } | null;
  /** How often it was tried. */
  readonly attempts: number;
}
