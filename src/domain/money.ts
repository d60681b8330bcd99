// Money: whole minor units of an ISO 4217 currency, and the places where they may come from.
//
// Promises: no fraction, no float: every amount that leaves this file is a safe integer ≥ 1, or the
// input is refused with the place in it. Currencies are the active ones of ISO 4217, countries those
// of ISO 3166-1; both lists are data of those standards, kept here so that nothing has to be asked.

const iso4217 =
  'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF ' +
  'CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP ' +
  'GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT ' +
  'LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR ' +
  'NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN ' +
  'SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF ' +
  'XCD XCG XOF XPF YER ZAR ZMW ZWG';

const iso3166 =
  'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY ' +
  'BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK ' +
  'FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR ' +
  'IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ' +
  'ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM ' +
  'PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF ' +
  'TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW';

export const currencyCodes: readonly string[] = iso4217.split(' ');
export const countryCodes: readonly string[] = iso3166.split(' ');
const currencies: ReadonlySet<string> = new Set(currencyCodes);
const countries: ReadonlySet<string> = new Set(countryCodes);

// Digits behind the point as ISO 4217 has them, where they are not two. `Intl` follows the custom of shops
// instead: it knows no fillér, so 1 000.00 HUF in minor units would be told as 100 000.
const decimalsApart: readonly (readonly [decimals: number, currencies: string])[] = [
  [0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'],
  [3, 'BHD IQD JOD KWD LYD OMR TND'],
  [4, 'CLF UYW'],
];

export function decimalsOf(currency: string): number {
  return decimalsApart.find(([, currencies]) => currencies.includes(currency))?.[0] ?? 2;
}

export function isCurrency(code: string): boolean {
  return currencies.has(code);
}

export function isCountry(code: string): boolean {
  return countries.has(code);
}

// The short form of an order buys one piece of these; USD cents.
export const priceList = { Phone: 79_900, Laptop: 149_900, Tablet: 49_900, Accessory: 1_999 } as const;
export type ProductType = keyof typeof priceList;
export const priceListCurrency = 'USD';

// The sum of quantity × unit price, or null where it is not a safe integer from 1 on. Quantities up to
// 10⁴ and prices up to 10¹² pass 2⁵³ in one line, so the sum is taken in BigInt.
export function totalOf(items: readonly { quantity: number; unitPrice: number }[]): number | null {
  const total = items.reduce((sum, item) => sum + BigInt(item.quantity) * BigInt(item.unitPrice), 0n);
  return total >= 1n && total <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(total) : null;
}
