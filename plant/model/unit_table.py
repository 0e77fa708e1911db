"""Kaikou's units as data: a heading for each quantity, a line for each unit.

Of a heading: the quantity, its name in Chinese, and ``adds`` where amounts add up over time, so
that a counter can count it. Of a line: the symbol that is published and stored, the factor to the
quantity's base unit (``factor@offset`` where zero is elsewhere), the UCUM code, the code of UNECE
Recommendation 20 (``-``: none), then further spellings, as they stand on machines.

Sources: UCUM 2.1 (codes and factors; SI Brochure, 9th edition), UNECE Recommendation 20 as the OPC
Foundation publishes it for EUInformation (UNECE_to_OPCUA.csv), GB 3100 and GB/T 2900 for names in
Chinese. kcal and BTU are those of the International Table, hp is mechanical, gal is of the US.
"""

TABLE = """
# number 数量 adds
pcs       1        -          H87  pc piece pieces ea {pcs} {#} 件 个 只 台 支 片 PCE NMB
kpcs      1e3      -          MIL  千件
# ratio 比率
1         1        1          C62  ratio
%         1e-2     %          P1   percent pct %RH %rh %vol 百分比
‰         1e-3     [ppth]     NX   permille
ppm       1e-6     [ppm]      59   umol/mol
ppb       1e-9     [ppb]      61
# explosive_limit 爆炸下限
%LEL      1        -          -    LEL
# power 功率
mW        1e-3     mW         C31
W         1        W          WTT  瓦 瓦特
kW        1e3      kW         KWT  KW 千瓦
MW        1e6      MW         MAW  兆瓦
GW        1e9      GW         A90
hp        745.69987158227022 [HP] - HP bhp
hp_metric 735.49875 -         HJ   PS CV 马力
kcal/h    1.163    kcal_IT/h  -    大卡/时
BTU/h     0.29307107017 [Btu_IT]/h 2I Btu/h
kJ/h      1/3.6    kJ/h       -
MJ/h      1e3/3.6  MJ/h       -
GJ/h      1e6/3.6  GJ/h       -
USRT      3516.8528420667 -   -    RT 冷吨
# reactive_power 无功功率
var       1        -          D44  Var VAr VAR 乏
kvar      1e3      -          KVR  kVar kVAr kVAR KVAR 千乏
Mvar      1e6      -          MAR  MVar MVAr
# apparent_power 视在功率
VA        1        V.A        D46  伏安
kVA       1e3      kV.A       KVA  千伏安
MVA       1e6      MV.A       MVA
# energy 能量 adds
J         1        J          JOU  焦
kJ        1e3      kJ         KJO  千焦
MJ        1e6      MJ         3B   兆焦
GJ        1e9      GJ         GV   吉焦
Wh        3600     W.h        WHR  瓦时 Whr
kWh       3.6e6    kW.h       KWH  kwh kWhr kW-h KW·h 千瓦时 度
MWh       3.6e9    MW.h       MWH  兆瓦时
GWh       3.6e12   GW.h       GWH
kcal      4186.8   kcal_IT    E14  大卡
BTU       1055.05585262 [Btu_IT] BTU Btu
# reactive_energy 无功电能 adds
varh      1        -          -    var·h VArh
kvarh     1e3      -          K3   kvar·h kVarh kVArh KVARH 千乏时
Mvarh     1e6      -          MAH
# apparent_energy 视在电能 adds
VAh       1        V.A.h      -
kVAh      1e3      kV.A.h     C79
# voltage 电压
µV        1e-6     uV         D82
mV        1e-3     mV         2Z   毫伏
V         1        V          VLT  伏 VAC VDC
kV        1e3      kV         KVT  千伏
# current 电流
µA        1e-6     uA         B84
mA        1e-3     mA         4K   毫安
A         1        A          AMP  安 Amp
kA        1e3      kA         B22
# charge 电荷 adds
mAh       3.6      mA.h       E09
Ah        3600     A.h        AMH  安时
# resistance 电阻
mΩ        1e-3     mOhm       E45  mohm
Ω         1        Ohm        OHM  ohm 欧
kΩ        1e3      kOhm       B49  kohm
MΩ        1e6      MOhm       B75  Mohm 兆欧
# conductivity 电导率
µS/cm     1e-4     uS/cm      G42
mS/cm     0.1      mS/cm      H61
S/m       1        S/m        D10
# frequency 频率
Hz        1        Hz         HTZ  赫 赫兹
kHz       1e3      kHz        KHZ
MHz       1e6      MHz        MHZ
# rotational_speed 转速
1/min     1        /min       RPM  rpm r/min rev/min U/min tr/min min-1 C94 转/分 转/分钟
r/s       60       -          RPS  rps rev/s 转/秒
rad/s     9.5492965855137201 rad/s 2A
°/s     1/6      deg/s      E96
# rate 速率
1/s       1        /s         C97  s-1 pcs/s 件/秒
pcs/min   1/60     -          -    cpm spm 件/分 件/分钟 次/分 次/分钟
1/h       1/3600   /h         H10  h-1 pcs/h pph cph 件/时 件/小时 次/时
# temperature 温度
K         1        K          KEL  开尔文
degC      1@273.15 Cel        CEL  °C C deg_C 摄氏度 度
degF      5/9@45967/180 [degF] FAH °F F deg_F 华氏度
# temperature_rate 温度变化率
K/min     1        K/min      F11  degC/min °C/min Cel/min H13
K/h       1/60     K/h        F10  degC/h °C/h Cel/h H12
# pressure 压力
Pa        1        Pa         PAL  帕
hPa       100      hPa        A97
kPa       1e3      kPa        KPA  千帕
MPa       1e6      MPa        MPA  N/mm2 C56 兆帕
mbar      100      mbar       MBR  毫巴
bar       1e5      bar        BAR  巴
psi       6894.757293168361 [psi] PS PSI lbf/in2
atm       101325   atm        ATM
kgf/cm2   98066.5  kgf/cm2    E42  kg/cm2 at ATT 公斤力/平方厘米 公斤/平方厘米
mmHg      133.322387415 mm[Hg] HN  毫米汞柱
Torr      101325/760 -        UA   torr
mmH2O     9.80665  mm[H2O]    HP   毫米水柱
cmH2O     98.0665  cm[H2O]    H78
mH2O      9806.65  m[H2O]     -    米水柱
inHg      3386.388640341 [in_i'Hg] F79
inH2O     249.08891 [in_i'H2O] F78
# velocity 速度
µm/s      1e-6     um/s       -
mm/s      1e-3     mm/s       C16  毫米/秒
mm/min    1e-3/60  mm/min     H81  毫米/分
cm/s      1e-2     cm/s       2M
m/s       1        m/s        MTS  米/秒
m/min     1/60     m/min      2X   mpm 米/分 米/分钟
m/h       1/3600   m/h        M60
km/h      1/3.6    km/h       KMH  公里/时
in/s      0.0254   [in_i]/s   IU   ips
in/min    0.0254/60 [in_i]/min M63 ipm
ft/min    0.3048/60 [ft_i]/min FR  fpm
# acceleration 加速度
mm/s2     1e-3     mm/s2      M41
m/s2      1        m/s2       MSK
g         9.80665  [g]        K40  gn
# length 长度 adds
nm        1e-9     nm         C45  纳米
µm        1e-6     um         4H   micron 微米
mm        1e-3     mm         MMT  毫米
cm        1e-2     cm         CMT  厘米
m         1        m          MTR  米
km        1e3      km         KMT  公里
in        0.0254   [in_i]     INH  inch 英寸
ft        0.3048   [ft_i]     FOT  英尺
mil       2.54e-5  [mil_i]    77   thou
# area 面积 adds
mm2       1e-6     mm2        MMK
cm2       1e-4     cm2        CMK
m2        1        m2         MTK  平方米
# volume 体积 adds
µL        1e-9     uL         4G
mL        1e-6     mL         MLT  毫升
cm3       1e-6     cm3        CMQ
L         1e-3     L          LTR  liter litre 升
m3        1        m3         MTQ  立方 立方米 方
ft3       0.028316846592 [ft_i]3 FTQ
gal       3.785411784e-3 [gal_us] GLL gallon
# volume_flow 流量
mL/min    1e-6/60  mL/min     41
L/h       1e-3/3600 L/h       E32  升/时
L/min     1e-3/60  L/min      L2   lpm LPM 升/分
L/s       1e-3     L/s        G51  升/秒
m3/h      1/3600   m3/h       MQH  m3/hr cmh 立方米/时 立方米/小时 方/时
m3/min    1/60     m3/min     G53  立方米/分
m3/s      1        m3/s       MQS
cfm       0.028316846592/60 [ft_i]3/min 2L CFM ft3/min
gpm       3.785411784e-3/60 [gal_us]/min G2 GPM gal/min
# standard_volume 标况体积 adds
NL        1e-3     -          -    标升
Nm3       1        -          -    标立方米 标方
# standard_volume_flow 标况流量
NL/min    1e-3/60  -          -    标升/分
Nm3/h     1/3600   -          Q40  Nm3/hr 标立方米/时 标方/时
Nm3/min   1/60     -          -    标立方米/分 标方/分
# mass 质量 adds
mg        1e-6     mg         MGM  毫克
gram      1e-3     g          GRM  克
kg        1        kg         KGM  公斤 千克
t         1e3      t          TNE  吨
lb        0.45359237 [lb_av]  LBR  lbs
oz        0.028349523125 [oz_av] ONZ
# mass_flow 质量流量
g/min     1e-3/60  g/min      F28
g/s       1e-3     g/s        F29
kg/h      1/3600   kg/h       E93  kg/hr 公斤/时 千克/时
kg/min    1/60     kg/min     F31  公斤/分
kg/s      1        kg/s       KGS
t/h       1/3.6    t/h        E18  tph 吨/时 吨/小时
lb/h      0.45359237/3600 [lb_av]/h 4U
# density 密度
µg/m3     1e-9     ug/m3      GQ
mg/m3     1e-6     mg/m3      GP
mg/L      1e-3     mg/L       M1
g/L       1        g/L        GL
kg/m3     1        kg/m3      KMQ
g/cm3     1e3      g/cm3      23   g/mL kg/L kg/dm3
# force 力
mN        1e-3     mN         C20
N         1        N          NEW  牛 牛顿
daN       10       daN        -
kN        1e3      kN         B47  千牛
MN        1e6      MN         B73
kgf       9.80665  kgf        B37  公斤力
tf        9806.65  -          -    吨力
lbf       4.4482216152605 [lbf_av] C78
# torque 扭矩
mN·m      1e-3     mN.m       D83
N·cm      1e-2     N.cm       J72  Ncm
N·m       1        N.m        NU   Nm 牛米 牛·米
kN·m      1e3      kN.m       B48  kNm
kgf·m     9.80665  kgf.m      B38  kgfm
lbf·ft    1.3558179483314 [lbf_av].[ft_i] M92 ft·lbf lb·ft
lbf·in    0.11298482902762 [lbf_av].[in_i] F21 in·lbf lb·in
# time 时间 adds
µs        1e-6     us         B98
ms        1e-3     ms         C26  毫秒
s         1        s          SEC  sec 秒
min       60       min        MIN  分 分钟
h         3600     h          HUR  hr hour 时 小时
d         86400    d          DAY  day 天
# angle 角度 adds
mrad      1e-3     mrad       C25
rad       1        rad        C81  弧度
°       0.017453292519943296 deg DD   度
# level 电平
dB        1        dB         2N   分贝
# sound_level 声级
dB(A)     1        -          -    dBA 分贝(A)
# acidity 酸碱度
pH        1        [pH]       Q30  PH
# turbidity 浊度
NTU       1        -          -
# illuminance 照度
lx        1        lx         LUX  lux 勒克斯
# irradiance 辐照度
W/m2      1        W/m2       D54
kW/m2     1e3      kW/m2      -
# viscosity 动力粘度
mPa·s     1e-3     mPa.s      C24  cP
Pa·s      1        Pa.s       C65
# kinematic_viscosity 运动粘度
mm2/s     1e-6     mm2/s      C17  cSt
# data 数据量 adds
B         1        By         AD   byte
kB        1e3      kBy        2P
MB        1e6      MBy        4L
GB        1e9      GBy        E34
# data_rate 数据率
bit/s     1        bit/s      B10  bps
kbit/s    1e3      kbit/s     C74  kbps
Mbit/s    1e6      Mbit/s     E20  Mbps
"""
