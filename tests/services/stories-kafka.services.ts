import { storyContract } from './stories.contract.ts';

storyContract('kafka');
