// Small stories that an order may go through, told step by step, without chance: the ways on which the crash
// matrix reaches every statement and every call.
//
// Promises: a story ends with `settle`, whatever befalls it; a troubled partner or bus of a story is part of it,
// and in place with and without the fault of the matrix. Of those that come by a point the first and the last are
// taken, in this order.

import { ofOrders } from './stories/orders.ts';
import type { Story } from './stories/story.ts';
import { ofTroubles } from './stories/troubles.ts';

export const stories: readonly Story[] = [...ofOrders, ...ofTroubles];
