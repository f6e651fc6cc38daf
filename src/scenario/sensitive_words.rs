//! Words of sensitive attributes, and of what they are not. Latin words have no separators:
//! `idcard` stands for `id_card`, `idCard` and `idcard`. Chinese words are simplified.

/// Words that name a sensitive attribute wherever they stand: English, abbreviations, pinyin.
#[rustfmt::skip]
pub(super) const STRICT: &[&str] = &[
    // Age.
    "agegroup", "ageband", "agerange", "agebracket", "ageyears", "birthday", "birthdate", "birthyear",
    "dateofbirth", "yearofbirth", "dob", "yob", "elderly", "teenager", "underage", "nianling",
    "shengri", "chushengriqi", "chushengnianyue", "chushengnian",
    // Sex and gender.
    "gender", "sex", "male", "female", "woman", "women", "transgender", "cisgender", "nonbinary",
    "gndr", "gend", "intersex", "xingbie", "nannv",
    // Race, ethnicity, nationality, citizenship.
    "racial", "ethnic", "ethnicity", "ethn", "ethnics", "nationality", "nationalorigin", "ancestry",
    "skincolor", "skincolour", "skintone", "tribal", "indigenous", "aboriginal", "immigrant",
    "immigration", "migrant", "refugee", "visastatus", "citizenship", "citizen", "birthplace",
    "placeofbirth", "countryofbirth", "birthcountry", "nativeplace", "minzu", "zhongzu", "renzhong",
    "zuyi", "huji", "hukou", "gongmin",
    // Caste.
    "caste", "jati", "dalit",
    // Religion.
    "religion", "religious", "relig", "rlgn", "creed", "hispanic", "jew", "latina", "latino", "mosque",
    "muslim", "christian", "jewish", "hindu", "buddhist", "zongjiao", "zongjiaoxinyang",
    // Marriage.
    "marital", "maritalstatus", "marriage", "married", "unmarried", "divorced", "divorce", "widowed",
    "widow", "spouse", "civilstatus", "marstat", "hunyin", "hunfou", "yihun", "weihun", "jiehun",
    "lihun", "peiou",
    // Disability.
    "disability", "disab", "handicap", "handicapped", "wheelchair", "canji", "canzhang",
    // Pregnancy.
    "pregnancy", "pregnant", "maternity", "huaiyun", "yunfu",
    // Identity documents.
    "ssn", "socialsecurity", "socialsecuritynumber", "passport", "nationalid", "nationalinsurance",
    "idcard", "identitycard", "identitynumber", "identitydocument", "identificationnumber",
    "driverlicense", "driverslicense", "drivinglicense", "drivinglicence", "driverlicence", "aadhaar",
    "aadhar", "nric", "shenfenzheng", "shenfenzhenghao", "sfz", "sfzh", "huzhao", "zhengjianhao",
    "shebaohao", "jiazhao",
    // Union membership.
    "unionmember", "unionmembership", "unionstatus", "tradeunion", "laborunion", "labourunion",
    "unionized", "unionised", "gonghui",
    // Politics.
    "politics", "politicalaffiliation", "politicalparty", "politicalview", "politicalopinion",
    "politicalorientation", "politicalleaning", "politicalbelief", "politicalstance",
    "politicalpreference", "politicalstatus", "politicalidentity", "partymember", "partymembership",
    "partyaffiliation", "voterregistration", "voterid", "zhengzhi", "zhengzhimianmao", "dangpai",
    "dangyuan", "zhengdang",
    // Sexual orientation.
    "sexual", "sexuality", "sexualorientation", "lgbt", "lgbtq", "gay", "lesbian", "bisexual",
    "homosexual", "heterosexual", "queer", "xingquxiang", "xingqingxiang", "tongxinglian",
    // Health.
    "medical", "medication", "disease", "illness", "diagnosed", "mentalhealth", "healthrecord",
    "healthdata", "healthinfo", "healthcondition", "healthinsurance", "healthhistory", "healthstatus",
    "hiv", "cancer", "diabetes", "diabetic", "allergy", "allergies", "bloodtype", "bloodgroup", "covid",
    "vaccinated", "vaccination", "smoker", "comorbidity", "medhist", "medcond", "jibing", "bingshi",
    "yiliao", "xuexing", "jiankangzhuangkuang", "bingli", "huanbing",
    // Genes and biometrics.
    "genetic", "genetics", "genome", "genomic", "genotype", "dna", "biometric", "biometry", "faceprint",
    "voiceprint", "irisscan", "palmprint", "facerecognition", "faceid", "shengwushibie",
    "shengwutezheng", "jiyin", "renlian", "shengwen", "yichuan",
];

/// Words that also name other things. They count beside words about people and columns only.
#[rustfmt::skip]
pub(super) const AMBIGUOUS: &[&str] = &[
    "age", "adult", "birth", "born", "suishu", "pronoun", "race", "asian", "natl", "sx", "guoji",
    "jiguan", "zhongxing", "faith", "belief", "church", "xinyang", "preg", "disabled", "impaired",
    "impairment", "blind", "deaf", "political", "voter", "orientation", "health", "healthcare",
    "diagnosis", "diagnoses", "symptom", "therapy", "prescription", "depression", "bmi", "aids", "hlth",
    "jiankang", "zhenduan", "guomin", "gene", "idno", "idnumber", "idnum",
];

/// Words about people. An ambiguous word behind one of them counts.
#[rustfmt::skip]
pub(super) const PERSON: &[&str] = &[
    "user", "usr", "customer", "cust", "client", "member", "person", "people", "personal", "patient",
    "employee", "staff", "applicant", "consumer", "buyer", "owner", "passenger", "student", "caller",
    "visitor", "subscriber", "self", "my", "yonghu", "kehu", "huiyuan",
];

/// Words about the form of a column.
#[rustfmt::skip]
pub(super) const SHAPE: &[&str] = &[
    "group", "grp", "code", "cd", "type", "id", "value", "val", "band", "bucket", "bin", "range",
    "bracket", "flag", "is", "has", "category", "cat", "class", "label", "name", "status", "level",
    "year", "years", "yr", "yrs", "number", "num", "no", "in", "of", "by", "the", "col", "column",
    "field", "segment", "seg", "tag", "raw", "info", "data", "known", "declared", "reported",
    "registered", "estimated", "current", "text", "txt", "str", "int", "key", "idx", "index", "attr",
    "attribute", "at", "signup", "registration", "desc", "old", "new", "min", "max", "ziduan", "daima",
    "leixing", "fenzu", "zhuangkuang", "zhuangtai", "ren", "hao", "haoma",
];

/// Names of other things that contain such a word. They are left out before words are looked for.
#[rustfmt::skip]
pub(super) const HARMLESS: &[&str] = &[
    "racecondition", "datarace", "racedetector", "healthcheck", "customerhealth", "clienthealth",
    "geneticalgorithm", "politicalmap", "orientationmap", "textorientation", "maxage", "minage",
    "dataage", "keyage", "indexage", "blindtest", "doubleblind", "disabledat", "malevoice",
    "femalevoice", "passportjs",
];

/// Words of sensitive attributes in Chinese, simplified.
#[rustfmt::skip]
pub(super) const CHINESE: &[&str] = &[
    "年龄", "年纪", "岁数", "出生", "生日", "未成年", "老年人", "性别", "男女", "男性", "女性", "种族", "民族", "族裔", "族群", "人种",
    "肤色", "国籍", "籍贯", "公民身份", "公民", "移民", "户籍", "户口", "侨民", "种姓", "宗教", "信仰", "教派", "信教", "婚姻", "已婚",
    "未婚", "婚否", "结婚", "离婚", "离异", "丧偶", "婚育", "配偶", "残疾", "残障", "失明", "失聪", "聋哑", "伤残", "怀孕", "孕妇",
    "孕期", "孕周", "妊娠", "生育", "产假", "产检", "身份证", "身分证", "证件号", "护照", "社保号", "社会保障号", "通行证", "驾照", "驾驶证",
    "军官证", "居住证", "工会", "政治", "党派", "党员", "政党", "入党", "团员", "性取向", "性倾向", "同性恋", "双性恋", "异性恋", "跨性别",
    "健康", "疾病", "病史", "病历", "病情", "患病", "医疗", "诊断", "体检", "血型", "过敏", "抑郁", "精神病", "癌", "艾滋", "生物识别",
    "生物特征", "指纹", "人脸", "虹膜", "声纹", "掌纹", "基因", "遗传",
];

/// Names of other things that contain such a word, simplified.
#[rustfmt::skip]
pub(super) const HARMLESS_CHINESE: &[&str] = &[
    "健康检查", "健康度", "服务健康", "系统健康", "故障诊断", "错误诊断", "遗传算法", "账号年龄", "账户年龄", "设备指纹", "系统指纹", "模型指纹",
    "浏览器指纹",
];
