"""Countries as lists write them, by ISO 3166 alpha-2 code; an unknown name counts as no country at all."""

NAMES = """
AF Afghanistan|DZ Algeria|AM Armenia|AR Argentina|AU Australia|AT Austria|AZ Azerbaijan|BH Bahrain|BD Bangladesh
BY Belarus|BE Belgium|BA Bosnia and Herzegovina|BR Brazil|BG Bulgaria|BI Burundi|MM Burma|MM Myanmar|KH Cambodia
CM Cameroon|CA Canada|CF Central African Republic|TD Chad|CL Chile|CN China|CO Colombia|CG Congo|CR Costa Rica
CD Democratic Republic of the Congo|CD Congo, Democratic Republic of the|HR Croatia|CU Cuba|CY Cyprus
CZ Czech Republic|CZ Czechia|DK Denmark|EC Ecuador|EG Egypt|SV El Salvador|ER Eritrea|EE Estonia|ET Ethiopia|FI Finland
FR France|GE Georgia|DE Germany|GH Ghana|GR Greece|GT Guatemala|GN Guinea|GW Guinea-Bissau|HT Haiti|HN Honduras
HK Hong Kong|HU Hungary|IN India|ID Indonesia|IR Iran|IR Iran (Islamic Republic of)|IQ Iraq|IE Ireland|IL Israel
IT Italy|JP Japan|JO Jordan|KZ Kazakhstan|KE Kenya|KP Korea, North|KP North Korea|KR Korea, South|KR South Korea
KP Democratic People's Republic of Korea|XK Kosovo|KW Kuwait|KG Kyrgyzstan|LV Latvia|LB Lebanon|LR Liberia|LY Libya
LT Lithuania|LU Luxembourg|MY Malaysia|MV Maldives|ML Mali|MT Malta|MR Mauritania|MX Mexico|MD Moldova|ME Montenegro
MA Morocco|MZ Mozambique|NP Nepal|NL Netherlands|NZ New Zealand|NI Nicaragua|NE Niger|NG Nigeria|MK North Macedonia
NO Norway|OM Oman|PK Pakistan|PS Palestinian|PA Panama|PY Paraguay|PE Peru|PH Philippines|PL Poland|PT Portugal
QA Qatar|RO Romania|RU Russia|RU Russian Federation|RW Rwanda|SA Saudi Arabia|SN Senegal|RS Serbia|SL Sierra Leone
SG Singapore|SK Slovakia|SI Slovenia|SO Somalia|ZA South Africa|SS South Sudan|ES Spain|LK Sri Lanka|SD Sudan
SE Sweden|CH Switzerland|SY Syria|SY Syrian Arab Republic|TW Taiwan|TJ Tajikistan|TZ Tanzania|TH Thailand
TT Trinidad and Tobago|TN Tunisia|TR Turkey|TR Turkiye|TM Turkmenistan|UG Uganda|UA Ukraine|AE United Arab Emirates
GB United Kingdom|US United States|US United States of America|UY Uruguay|UZ Uzbekistan|VE Venezuela|VN Vietnam
VN Viet Nam|YE Yemen|ZW Zimbabwe
"""
CODES = {
    name.strip().lower(): code
    for line in NAMES.split("\n")
    for part in line.split("|")
    if part
    for code, _space, name in [part.partition(" ")]
}


def alpha2(name: str) -> str:
    """Return a country's code, or an empty string."""
    return CODES.get(name.strip().lower(), "")
