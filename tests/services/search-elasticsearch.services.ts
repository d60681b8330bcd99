import { searchContract } from '../contracts/search.contract.ts';
import { openElasticsearch } from '../support/elasticsearch.ts';

searchContract('Elasticsearch', openElasticsearch);
