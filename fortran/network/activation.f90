!> Activation functions of ænet, value and slope together, over whole arrays.
module tf_activation
   use tf_kinds, only : wp, i8
   implicit none
   private
   public :: activate, activate_twice, activation_linear, activation_tanh, activation_sigmoid, activation_mtanh, &
      activation_twist, n_activation

   integer, parameter :: activation_linear = 0, activation_tanh = 1, activation_sigmoid = 2, &
      activation_mtanh = 3, activation_twist = 4
   integer, parameter :: n_activation = 5

   ! Constants of ænet's mtanh and twist, with the digits it has
   real(wp), parameter :: mtanh_height = 1.7159_wp, mtanh_slope = 0.666666666666667_wp
   real(wp), parameter :: twist_slope = 0.1_wp

contains

   !> Replace the arguments by the function values and give the slopes
   pure subroutine activate(code, n, x, slope)
      !> Which function: 0 linear, 1 tanh, 2 sigmoid, 3 mtanh, 4 twist
      integer, intent(in) :: code
      integer, intent(in) :: n
      !> Arguments in, values out
      real(wp), intent(inout) :: x(n)
      !> Derivative of the value with respect to the argument
      real(wp), intent(out) :: slope(n)
      integer :: i
      real(wp) :: t

      select case (code)
      case (activation_tanh)
         !$omp simd private(t)
         do i = 1, n
            t = hyperbolic_tangent(x(i))
            x(i) = t
            slope(i) = 1.0_wp - t*t
         end do
      case (activation_sigmoid)
         ! 1/(1 + exp(-x)) = ½(1 + tanh(x/2))
         !$omp simd private(t)
         do i = 1, n
            t = hyperbolic_tangent(0.5_wp*x(i))
            x(i) = 0.5_wp + 0.5_wp*t
            slope(i) = 0.25_wp*(1.0_wp - t*t)
         end do
      case (activation_mtanh)
         !$omp simd private(t)
         do i = 1, n
            t = hyperbolic_tangent(mtanh_slope*x(i))
            x(i) = mtanh_height*t
            slope(i) = mtanh_height*mtanh_slope*(1.0_wp - t*t)
         end do
      case (activation_twist)
         !$omp simd private(t)
         do i = 1, n
            t = hyperbolic_tangent(mtanh_slope*x(i))
            x(i) = mtanh_height*t + twist_slope*x(i)
            slope(i) = mtanh_height*mtanh_slope*(1.0_wp - t*t) + twist_slope
         end do
      case default
         slope = 1.0_wp
      end select
   end subroutine activate

   !> The same with the second derivatives, for losses that hold derivatives of the networks
   pure subroutine activate_twice(code, n, x, slope, curvature)
      !> As for `activate`
      integer, intent(in) :: code
      integer, intent(in) :: n
      !> Arguments in, values out
      real(wp), intent(inout) :: x(n)
      !> First and second derivative of the value with respect to the argument
      real(wp), intent(out) :: slope(n), curvature(n)
      real(wp) :: stretch, height, rest, lift
      real(wp) :: t, bend
      integer :: i

      ! All are height·tanh(stretch·x) + rest·x + lift
      lift = 0.0_wp
      rest = 0.0_wp
      select case (code)
      case (activation_tanh)
         stretch = 1.0_wp
         height = 1.0_wp
      case (activation_sigmoid)
         stretch = 0.5_wp
         height = 0.5_wp
         lift = 0.5_wp
      case (activation_mtanh)
         stretch = mtanh_slope
         height = mtanh_height
      case (activation_twist)
         stretch = mtanh_slope
         height = mtanh_height
         rest = twist_slope
      case default
         slope = 1.0_wp
         curvature = 0.0_wp
         return
      end select
      !$omp simd private(t, bend)
      do i = 1, n
         t = hyperbolic_tangent(stretch*x(i))
         bend = height*stretch*(1.0_wp - t*t)
         x(i) = height*t + rest*x(i) + lift
         slope(i) = bend + rest
         curvature(i) = -2.0_wp*stretch*t*bend
      end do
   end subroutine activate_twice

   !> tanh without branches or library calls, so that it runs in vector registers on any machine:
   !> tanh|x| = e/(e + 2) with e = exp(2|x|) - 1 = 2^k·p + (2^k - 1).  Error below 3 ulp; NaN stays NaN.
   elemental real(wp) function hyperbolic_tangent(x) result(y)

      !$omp declare simd(hyperbolic_tangent)
      real(wp), intent(in) :: x
      real(wp), parameter :: log2_e = 1.4426950408889634_wp
      ! ln 2 split in two, so that k·ln2_high is exact
      real(wp), parameter :: ln2_high = 6.93147180369123816490e-01_wp, ln2_low = 1.90821492927058770002e-10_wp
      real(wp), parameter :: saturated = 40.0_wp  ! tanh(20) is 1 in double precision
      ! 1.5·2^52: adding it leaves the nearest integer in the last bits of the mantissa
      real(wp), parameter :: rounder = 6755399441055744.0_wp
      real(wp) :: t, k, r, p, power, e, shifted
      t = abs(x)*2.0_wp
      t = merge(saturated, t, t > saturated)
      shifted = t*log2_e + rounder
      k = shifted - rounder
      r = (t - k*ln2_high) - k*ln2_low
      p = r + r*r*(1.0_wp/2.0_wp + r*(1.0_wp/6.0_wp + r*(1.0_wp/24.0_wp + r*(1.0_wp/120.0_wp + &
         r*(1.0_wp/720.0_wp + r*(1.0_wp/5040.0_wp + r*(1.0_wp/40320.0_wp + r*(1.0_wp/362880.0_wp + &
         r*(1.0_wp/3628800.0_wp + r*(1.0_wp/39916800.0_wp + r*(1.0_wp/479001600.0_wp)))))))))))
      power = transfer(ishft(transfer(shifted, 0_i8) + 1023_i8, 52), 1.0_wp)
      e = power*p + (power - 1.0_wp)
      y = sign(e/(e + 2.0_wp), x)
   end function hyperbolic_tangent

end module tf_activation
