//! Numbers at the borders of what readers hold, and what only looks like a number.

/// Where 64-bit floats end, as integers and as fractions, and ways to write the same number.
const BORDERS: [&str; 38] = [
    "-0",
    "-0.0",
    "0e0",
    "-0e-0",
    "0E+99999999999999999999",
    "0.000e-99999999999999999999",
    "1E+2",
    "1e00000000000000002",
    "1",
    "1.0",
    "1e0",
    "10e-1",
    "0.1e1",
    "1.00000000000000000001",
    "0.99999999999999999999",
    "1e400",
    "-1e400",
    "1e-400",
    "-1e-400",
    "1e308",
    "1e309",
    "5e-324",
    "4.9e-324",
    "2.4e-324",
    "2.5e-324",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.7976931348623159e308",
    "2.2250738585072011e-308",
    "1e2147483647",
    "1e2147483648",
    "1e-2147483649",
    "1e9223372036854775808",
    "-1e99999999999999999999",
    "1e-99999999999999999999",
    "0.1",
    "0.10000000000000000001",
    "9007199254740993.0",
];

const MANTISSAS: [&str; 8] = ["0", "1", "-1", "1.5", "10", "0.1", "123456789", "-7.25"];
const EXPONENTS: [&str; 20] = [
    "e0", "E0", "e+0", "e-0", "e1", "E+2", "e-2", "e007", "e15", "e16", "e17", "e18", "e19", "e22", "e23", "e-7",
    "e-8", "e300", "e-300", "E-323",
];

/// All are numbers of JSON.
pub fn numbers() -> Vec<String> {
    let mut numbers: Vec<String> = BORDERS.map(str::to_owned).into();
    for bits in [0, 1, 8, 31, 32, 53, 54, 62, 63, 64, 100, 126] {
        for near in -2..=2_i128 {
            let integer = (1_i128 << bits) + near;
            numbers
                .extend([integer, -integer].iter().flat_map(|n| [format!("{n}"), format!("{n}.0"), format!("{n}e0")]));
            numbers.extend([format!("{integer}.5"), format!("{integer}.00e2"), format!("{integer}e-1")]);
        }
    }
    for mantissa in MANTISSAS {
        numbers.extend(EXPONENTS.map(|exponent| format!("{mantissa}{exponent}")));
    }
    for many in [16, 17, 18, 19, 20, 21, 40, 308, 309, 1_000] {
        let (nines, zeros) = ("9".repeat(many), "0".repeat(many));
        numbers.extend([format!("1{zeros}"), format!("1{zeros}1"), format!("0.{zeros}1"), format!("1.{zeros}")]);
        numbers.extend([nines.clone(), format!("-{nines}"), format!("0.{nines}"), format!("1.{zeros}1")]);
        numbers.extend([format!("0.{zeros}1e{}", many + 1), format!("1{zeros}e-{many}"), format!("{nines}e-{many}")]);
    }
    // Money, where binary fractions are never exact.
    numbers.extend((0..100).map(|cents| format!("19.{cents:02}")));
    numbers.extend(
        ["1070468.14", "0.29", "0.57", "1.1", "2.675", "4.35", "8.41", "0.3", "0.30000000000000004"].map(Into::into),
    );
    numbers
}

/// None is a number of JSON.
pub fn not_numbers() -> Vec<String> {
    [
        "+1",
        "+0",
        ".5",
        "-.5",
        "1.",
        "-1.",
        "01",
        "00",
        "-01",
        "-00",
        "01.5",
        "00.5",
        "-",
        "--1",
        "+-1",
        "-+1",
        "1-",
        "1+1",
        "1e",
        "1E",
        "1e+",
        "1e-",
        "1.e1",
        ".e1",
        "1e1.5",
        "1e1e1",
        "1ee1",
        "1e 1",
        "1 e1",
        "- 1",
        "1. 5",
        "e1",
        "0e",
        "0.e",
        "0.",
        "0x10",
        "0X1F",
        "0b1",
        "0o7",
        "1_000",
        "1,000",
        "1 000",
        "1..2",
        "1.2.3",
        "1f",
        "1L",
        "1n",
        "1%",
        "$1",
        "NaN",
        "-NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "∞",
        "１",
        "١",
        "1\u{0}",
        "²",
        "½",
        "−1",
        "1\u{a0}",
        "1'000",
        "1e\u{2212}5",
        "#1",
    ]
    .map(str::to_owned)
    .into()
}

/// Up to 24 digits, then any byte, then something more: what readers of several digits at once must find the end of.
pub fn at_word_borders(mut each: impl FnMut(&[u8])) {
    for count in 0..=24 {
        for start in [&b""[..], b"-", b"1.", b"1e", b"0.0"] {
            for byte in 0..=255 {
                for rest in [&b""[..], b"0", b"        ", b"12345678"] {
                    each(&[start, "9".repeat(count).as_bytes(), &[byte], rest].concat());
                }
            }
        }
    }
}
