import type { MessageCatalogue } from "../messages/catalogue.ts";
import type { Message } from "../types.ts";

/** Makes the next state from a state and a message. */
export type Evolve<State, Output extends Message = Message> = {
  // As a method, because the parameters of a method may be narrower: an evolve may say what data it takes.
  evolve(state: State, message: Output): State;
}["evolve"];

/** How messages make a state. */
export interface Projection<State, Output extends Message = Message> {
  /** Makes the state before the first message. */
  readonly init: () => State;
  /** Makes the next state from a state and any message. Give either this or `handlers`. */
  readonly evolve?: NoInfer<Evolve<State, Output>> | undefined;
  /** Functions that make the next state, by the type of the message. */
  readonly handlers?: NoInfer<Evolvers<State, Output>> | undefined;
  /**
   * What happens to a message whose type has no handler: it is skipped, unparsed, or refused with an
   * `InvalidMessageError`. Only with `handlers`.
   *
   * @default "skip"
   */
  readonly unknown?: "skip" | "refuse" | undefined;
  /**
   * The catalogue that parses the messages.
   *
   * @default none: nothing is parsed
   */
  readonly messages?: MessageCatalogue<Output> | undefined;
}

/**
 * Functions that make the next state, by the type of the message. `$forgotten` gets the forgotten messages, of
 * all types. Without it, they change no state.
 */
export type Evolvers<State, Output extends Message = Message> = {
  readonly [Type in Exclude<Output["type"], "$unknown">]?: Evolve<
    State,
    Extract<Output, { readonly type: Type }>
  >;
};
